"""Which endpoint first, by weight, affinity, business and health."""

from collections import Counter
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from core import balancing, options, plan, routes, routing
from core.balancing import Pool, Ranked
from core.envelope import split
from core.errors import BadRequestError, ModelNotFoundError
from core.health import Board
from core.orgs import Org
from providers.catalog import PROVIDERS
from providers.models import lookup
from tests.driving import NOW, found, organisation, status


def openai(name: str, weight: float = 1.0, **metadata: Any) -> dict[str, Any]:
    return {
        "type": "openai",
        "name": name,
        "secret": f"sk-{name}",
        "weight": weight,
        "metadata": metadata,
    }


def labels(ranked) -> list[str]:
    return [one.candidate.endpoint.label for one in ranked]


def ill(board, ranked, code=401):
    board.failed(ranked.place, status(code).failure, began_at=NOW, now=NOW)


def test_the_share_of_the_healthy_is_their_weight_without_those_that_cool_down():
    org, board = organisation(openai("a", 6), openai("b", 3), openai("c", 1)), Board()
    firsts = Counter(labels(found(org, board, draw=i / 1000))[0] for i in range(1000))
    assert firsts == {"a": 600, "b": 300, "c": 100}
    ill(board, next(r for r in found(org, board) if labels([r]) == ["a"]))
    firsts = Counter(labels(found(org, board, draw=i / 1000))[0] for i in range(1000))
    assert firsts == {"b": 750, "c": 250}
    assert all(labels(found(org, board, draw=i / 10))[2] == "a" for i in range(10))


@settings(deadline=None)
@given(
    st.lists(st.floats(0, 100), min_size=1, max_size=6),
    st.floats(0, 1, exclude_max=True),
    st.sets(st.integers(0, 5)),
    st.booleans(),
    st.sampled_from(["weighted", "least_busy"]),
)
def test_every_endpoint_is_in_the_order_once_and_the_healthy_first(
    weights, draw, sick, affinity, balance
):
    org = organisation(
        *(openai(str(i), weight) for i, weight in enumerate(weights)),
        affinity=affinity,
        balance=balance,
    )
    board = Board()
    for ranked in found(org, board):
        if int(ranked.candidate.endpoint.label) in sick:
            ill(board, ranked)
    pool = Pool(org=org, providers=PROVIDERS, lookup=lookup, board=board, affinity=b"x")
    ordered = labels(balancing.choose(["gpt-4o"], pool, now=NOW, draw=draw))
    assert sorted(ordered) == [str(i) for i in range(len(weights))]
    well = [int(name) not in sick for name in ordered]
    assert well == sorted(well, reverse=True)


def test_of_those_that_cool_down_the_first_to_be_well_comes_first():
    org, board = organisation("a", "b"), Board()
    one, other = found(org, board)
    ill(board, one, 401)
    board.failed(other.place, status(429, retry_after="1").failure, began_at=NOW, now=NOW)
    assert labels(found(org, board)) == ["b", "a"]


def test_the_least_busy_is_first_by_its_weight():
    settings_ = [openai("a", 2), openai("b", 1), openai("last", 0)]
    org, board = organisation(*settings_, balance="least_busy"), Board()
    by_name = {r.candidate.endpoint.label: r.place for r in found(org, board)}
    taken = []
    for i in range(9):
        first = labels(found(org, board, draw=i / 9))[0]
        board.began(by_name[first], NOW)
        taken.append(first)
    assert Counter(taken) == {"a": 6, "b": 3}


MESSAGES = [{"role": "system", "content": "You are."}, {"role": "user", "content": "Hello"}]


def affinity(caller="acme", model="gpt-4o", **body: Any) -> bytes:
    fields = split(msgspec.json.encode({"model": model, "messages": MESSAGES, **body}))
    return balancing.affinity_of(caller, lookup(model), fields)


def test_a_conversation_keeps_its_affinity():
    turn = [{"role": "assistant", "content": "Hi"}, {"role": "user", "content": "And now?"}]
    assert affinity() == affinity(messages=MESSAGES + turn) == affinity(temperature=1)
    anthropic = {"system": "You are.", "messages": MESSAGES[1:]}
    assert affinity(**anthropic) == affinity(**{**anthropic, "messages": MESSAGES[1:] + turn})


@pytest.mark.parametrize(
    "other",
    [
        {"caller": "other"},
        {"model": "gpt-4o-mini"},
        {"messages": [MESSAGES[0], {"role": "user", "content": "Bye"}]},
        {"messages": [{"role": "system", "content": "You were."}, MESSAGES[1]]},
        {"tools": [{"type": "function"}]},
        {"system": "You are."},
        {"prompt_cache_key": "k"},
    ],
)
def test_another_beginning_is_another_affinity(other):
    assert affinity() != affinity(**other)


def test_a_key_of_the_callers_own_is_all_that_counts():
    assert affinity(prompt_cache_key="k") == affinity(prompt_cache_key="k", messages=MESSAGES[1:])


@settings(deadline=None)
@given(st.dictionaries(st.sampled_from(["messages", "input", "contents", "tools"]), st.binary()))
def test_no_body_is_too_odd_for_an_affinity(fields):
    raw = {name: msgspec.Raw(value) for name, value in fields.items()}
    assert len(balancing.affinity_of("acme", lookup("gpt-4o"), raw)) == 32


def spread(org, board=None) -> list[str]:
    board = Board() if board is None else board
    firsts = []
    for i in range(2000):
        pool = Pool(org=org, providers=PROVIDERS, lookup=lookup, board=board, affinity=b"%d" % i)
        firsts.append(labels(balancing.choose(["gpt-4o"], pool, now=NOW, draw=0.5))[0])
    return firsts


def test_affinity_spreads_by_weight_and_moves_only_what_has_to_move():
    three = [openai("a", 2), openai("b", 1), openai("c", 1), openai("last", 0)]
    org, board = organisation(*three, affinity=True), Board()
    before = spread(org, board)
    shares = Counter(before)
    assert shares["a"] == pytest.approx(1000, abs=100)
    assert shares["b"] == pytest.approx(500, abs=100)
    assert shares["last"] == 0
    ill(board, next(r for r in found(org, board) if labels([r]) == ["b"]))
    after = spread(org, board)
    moved = [was for was, now in zip(before, after, strict=True) if was != now]
    assert set(moved) == {"b"}


def test_without_the_setting_affinity_means_nothing():
    assert len(set(spread(organisation("a", "b")))) == 1


def test_fallback_models_follow_with_their_own_endpoints():
    org = organisation(
        openai("a", models=["gpt-4o"]),
        {"type": "anthropic", "name": "claude", "secret": "sk-ant"},
        openai("b", models=["gpt-4o-mini"]),
        fallbacks={"gpt-4o": ["nobody-has-it", "claude-sonnet-4-5", "gpt-4o-mini"]},
    )
    names = balancing.models(options.parse({}), org, "gpt-4o")
    ranked = found(org, Board(), *names)
    assert [(r.rank, r.candidate.endpoint.label, r.candidate.model) for r in ranked] == [
        (0, "a", "gpt-4o"),
        (1, "claude", "claude-sonnet-4-5"),
        (2, "b", "gpt-4o-mini"),
    ]


def test_the_callers_fallbacks_stand_for_those_of_the_settings():
    org = organisation("a", fallbacks={"m": ["n"]})
    for said, names in [
        (None, ("m", "n")),
        ("", ("m",)),
        (" x , y,x,, m", ("m", "x", "y")),
    ]:
        headers = {} if said is None else {"x-bt-fallback-models": said}
        assert balancing.models(options.parse(headers), org, "m") == names


@pytest.mark.parametrize("said", [",".join("abcdefghi"), "x" * 257])
def test_a_list_of_fallbacks_has_its_bounds(said):
    with pytest.raises(BadRequestError) as caught:
        options.parse({"x-bt-fallback-models": said})
    assert caught.value.param == "x-bt-fallback-models"


def test_a_fallback_answers_for_a_model_that_nobody_serves():
    org = organisation(openai("a", models=["gpt-4o-mini"]))
    ranked = found(org, Board(), "gpt-4o", "gpt-4o-mini")
    assert [(r.rank, r.candidate.model) for r in ranked] == [(0, "gpt-4o-mini")]
    with pytest.raises(ModelNotFoundError, match="`gpt-4o`"):
        found(org, Board(), "gpt-4o", "gpt-4")


def test_a_named_endpoint_is_the_only_one_for_fallbacks_too():
    org = organisation("a", "b", fallbacks={"gpt-4o": ["gpt-4o-mini"]})
    pool = Pool(org=org, providers=PROVIDERS, lookup=lookup, board=Board(), endpoint_name="b")
    ranked = balancing.choose(["gpt-4o", "gpt-4o-mini"], pool, now=NOW, draw=0.0)
    assert labels(ranked) == ["b", "b"]
    with pytest.raises(BadRequestError):
        balancing.choose(
            ["gpt-4o"], msgspec.structs.replace(pool, endpoint_name="c"), now=NOW, draw=0.0
        )


def custom(upstream: str, shape: str = "anthropic") -> dict[str, Any]:
    return {"claude": {"format": shape, "flavor": "chat", "upstream_name": upstream}}


def test_regions_and_accounts_are_endpoints_of_one_pool_each_with_its_own_name():
    """One name for the client; each region, account or deployment calls the model its own."""
    keys = {"type": "bedrock", "secret": "s"}
    org = organisation(
        {
            **keys,
            "name": "us",
            "metadata": {
                "region": "us-east-1",
                "access_key": "AK1",
                "customModels": custom("us.anthropic.claude-sonnet-4-20250514-v1:0"),
            },
        },
        {
            **keys,
            "name": "eu",
            "metadata": {
                "region": "eu-west-1",
                "access_key": "AK2",
                "customModels": custom("eu.anthropic.claude-sonnet-4-20250514-v1:0", "converse"),
            },
        },
        {
            "type": "azure",
            "name": "azure",
            "secret": "k",
            "metadata": {
                "api_base": "https://x.openai.azure.com",
                "customModels": custom("our-deployment", "openai"),
            },
        },
    )
    ranked = found(org, Board(), "claude")
    assert len({r.place for r in ranked}) == 3
    route = routes.resolve("POST", "/v1/chat/completions", {})
    body = msgspec.json.encode({"model": "claude", "messages": [{"role": "user", "content": "x"}]})
    urls = {
        r.candidate.endpoint.label: plan.attempt(
            plan.read_chat(body, route), r.candidate, headers={}, timeouts=org.timeouts
        ).outgoing.url
        for r in ranked
    }
    assert urls["us"].startswith("https://bedrock-runtime.us-east-1.amazonaws.com/model/us.anth")
    assert urls["eu"].startswith("https://bedrock-runtime.eu-west-1.amazonaws.com/model/eu.anth")
    assert "/deployments/our-deployment/" in urls["azure"]


def pool_of(org: Org, providers: routing.Providers = PROVIDERS) -> Pool:
    return Pool(org=org, providers=providers, lookup=lookup, board=Board())


def test_who_serves_is_worked_out_once_for_the_same_settings_and_anew_for_others():
    org = organisation(openai("a"), openai("b"))

    def asked(org: Org, draw: float, providers: routing.Providers = PROVIDERS) -> list[Ranked]:
        return balancing.choose(["gpt-4o"], pool_of(org, providers), now=NOW, draw=draw)

    first, second = asked(org, 0.0), asked(org, 0.9)
    assert labels((*first, *second)) == ["a", "b", "b", "a"]
    assert first[0] is second[1]
    first.clear()  # What one request does with its list is no other's business.
    assert len(asked(org, 0.0)) == 2
    assert asked(replace(org), 0.0)[0] is not second[1]
    assert asked(org, 0.0, {**PROVIDERS})[0] is not second[1]


def test_the_list_of_a_single_endpoint_is_each_requests_own():
    org = organisation(openai("a"))
    balancing.choose(["gpt-4o"], pool_of(org), now=NOW, draw=0).clear()
    assert labels(balancing.choose(["gpt-4o"], pool_of(org), now=NOW, draw=0)) == ["a"]


def test_a_caller_who_names_model_after_model_does_not_fill_the_memory():
    org = organisation({"type": "ollama", "name": "a"})
    for number in range(balancing.MOST_KNOWN + 2):
        balancing.choose([f"some-model-{number}"], pool_of(org), now=NOW, draw=0)
    assert len(org.worked_out) == 2
