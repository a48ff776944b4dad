"""The two entries as Lambda calls them: events in, and settings that are missing are named."""

import time
from collections.abc import Iterator
from typing import Any

import pytest

from core.orgs import SettingsError
from core.relay.handed import UnreadableError
from handlers import realtime_lambda
from handlers.realtime_lambda import Process

ENVIRONMENT = {
    "AWS_REGION": "eu-west-1",
    "AWS_ACCESS_KEY_ID": "testing",
    "AWS_SECRET_ACCESS_KEY": "testing",
    "AWS_ENDPOINT_URL": "http://127.0.0.1:9",
    "AWS_LAMBDA_FUNCTION_NAME": "session",
    "CUTWATER_MAILBOX_TABLE": "mailbox",
    "CUTWATER_REALTIME_URL": "https://abc.execute-api.eu-west-1.amazonaws.com/realtime",
}


class Context:
    def get_remaining_time_in_millis(self) -> int:
        return 900_000


@pytest.fixture
def process() -> Iterator[Process]:
    made = Process(ENVIRONMENT)
    yield made
    made.stop()


def connecting(**headers: str) -> dict[str, Any]:
    now = int(time.time() * 1000)
    context = {"eventType": "CONNECT", "connectionId": "c=", "connectedAt": now}
    return {"headers": headers, "requestContext": context}


def test_who_brings_no_key_is_refused_and_nothing_is_asked_of_aws(process: Process):
    assert process.connect(connecting(), None) == {"statusCode": 401}


def test_a_table_that_cannot_be_reached_is_said_as_such(process: Process):
    event = connecting(Authorization="Bearer sk-own-key-of-a-provider")
    for _ in range(2):  # The same loop, again.
        assert process.connect(event, None) == {"statusCode": 503}


def test_an_event_that_starts_no_session_is_refused(process: Process):
    with pytest.raises(UnreadableError):
        process.session({"hello": "world"}, Context())


@pytest.mark.parametrize("name", ["CUTWATER_MAILBOX_TABLE", "CUTWATER_REALTIME_URL"])
def test_a_setting_that_is_missing_is_named(name: str):
    process = Process({key: value for key, value in ENVIRONMENT.items() if key != name})
    with pytest.raises(SettingsError, match=name):
        process.connect(connecting(), None)


def test_importing_the_entries_makes_nothing():
    assert callable(realtime_lambda.connect)
    assert callable(realtime_lambda.session)
