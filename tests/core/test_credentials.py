"""Who is calling."""

import pytest

from core import credentials
from core.errors import ModelNotFoundError
from core.routing import Model
from providers.catalog import PROVIDERS
from providers.models import lookup
from tests.fakes import KEY, org

SHARED = "cw_shared_0123456789abcdef"
ACME, OTHER = org("acme"), org("other", key=SHARED)
THIRD = org("third", key=SHARED)
KEYS = credentials.index({one.name: one for one in (ACME, OTHER, THIRD)})


def test_the_index_holds_digests_and_no_key():
    assert KEY not in repr(KEYS)
    assert set(KEYS) == {credentials.digest(KEY), credentials.digest(SHARED)}


@pytest.mark.parametrize(
    ("key", "model", "provider"),
    [
        ("sk-somebody", "gpt-4o", "openai"),
        ("sk-ant-somebody", "claude-sonnet-4-5", "anthropic"),
        ("sk-ant-somebody", "gpt-4o", "anthropic"),
        ("sk-ant-somebody", "demo-echo", "demo"),
        ("anything", "demo-echo", "demo"),
        ("sk-somebody", "never-heard-of", "openai"),
        ("sk-somebody", "demo-nope", None),
    ],
)
def test_a_providers_key_is_for_its_maker(key: str, model: str, provider: str | None):
    assert credentials.provider_of_key(key, lookup(model), PROVIDERS) == provider


def test_a_provider_that_is_not_there_takes_no_key():
    model = Model(name="m", format="x", providers=("nobody",))
    assert credentials.provider_of_key("k", model, PROVIDERS) is None


def test_a_caller_with_an_own_key_is_an_organisation_of_one_endpoint():
    caller = credentials.caller_of(None, "sk-somebody", lookup("gpt-4o"), PROVIDERS)
    assert (caller.own_key, len(caller.org.endpoints)) == (True, 1)
    assert (caller.org.endpoints[0].type, caller.org.endpoints[0].secret) == (
        "openai",
        "sk-somebody",
    )
    assert "somebody" not in repr(caller)


def test_a_callers_organisation_is_used_as_it_is():
    caller = credentials.caller_of(ACME, KEY, lookup("gpt-4o"), PROVIDERS)
    assert (caller.own_key, caller.org) == (False, ACME)


def test_a_model_that_no_provider_serves_is_a_404():
    with pytest.raises(ModelNotFoundError) as caught:
        credentials.caller_of(None, "k", lookup("demo-nope"), PROVIDERS)
    assert caught.value.param == "model"
