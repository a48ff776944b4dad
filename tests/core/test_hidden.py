"""What a provider may quote, and must not."""

from typing import Any

import pytest
from msgspec.structs import replace

from core import hidden, plan, routing
from core.orgs import Endpoint, Timeouts
from core.ports import Outgoing
from core.routes import Route
from providers import models
from providers.catalog import PROVIDERS
from tests.fakes import anthropic_endpoint, openai_endpoint, org


def asked(settings: dict[str, Any]) -> tuple[Outgoing, Endpoint]:
    (endpoint,) = org(endpoints=[settings]).endpoints
    model = "claude-sonnet-4-5" if endpoint.type == "anthropic" else "gpt-4o"
    body = b'{"model":"%s","messages":[{"role":"user","content":"x"}]}' % model.encode()
    found = routing.candidate(endpoint, models.lookup(model), PROVIDERS)
    chat = plan.read_chat(body, Route(kind="chat", method="POST"))
    return plan.attempt(chat, found, headers={}, timeouts=Timeouts()).outgoing, endpoint


@pytest.mark.parametrize(
    ("endpoint", "keys"),
    [
        (openai_endpoint(), ("sk-of-the-org",)),
        (openai_endpoint(secret="short"), ()),
        (openai_endpoint(secret=None), ()),
        (anthropic_endpoint(), ("sk-ant-of-the-org",)),
        (
            openai_endpoint(metadata={"additionalHeaders": {"Api-Key": "second-key"}}),
            ("sk-of-the-org", "second-key"),
        ),
    ],
)
def test_it_is_known_which_keys_a_provider_was_given(
    endpoint: dict[str, Any], keys: tuple[str, ...]
):
    assert hidden.keys_sent(*asked(endpoint)) == keys


def test_all_that_the_settings_add_is_secret_the_longest_first():
    added = {"additionalHeaders": {"x-gateway": "sk-of-the-org-and-more", "x-team": "ml"}}
    outgoing, endpoint = asked(openai_endpoint(metadata={**added, "session_token": "session-1"}))
    of_a_role = {**outgoing.headers, "x-amz-security-token": "of-a-role"}
    first, *others = hidden.keys_sent(replace(outgoing, headers=of_a_role), endpoint)
    assert first == "sk-of-the-org-and-more"
    assert sorted(others) == ["of-a-role", "session-1", "sk-of-the-org"]
