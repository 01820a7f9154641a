"""Where a prefix goes: to its replica, unless that has too much to do or lets it wait too long."""

from __future__ import annotations

import random
from collections import Counter
from dataclasses import replace
from typing import Any

import pytest

from hybridllm._adapters.policy_files import load_policy_text
from hybridllm._core.affinity.key import prefix_of
from hybridllm._core.decide.decide import decide
from hybridllm._core.decide.plan import Plan
from hybridllm._core.decide.prefix import GUESSED_TIMES, PREFILL_TOKENS_PER_S
from hybridllm._core.decide.snapshot import Load, Snapshot
from hybridllm._core.policy.compiled import Policy
from hybridllm._core.request.facts import Facts
from hybridllm._core.resilience.pace import Pace

NAMES = "abcd"


def policy(names: str = NAMES, use: str = "{model: m, order_by: prefix}", more: str = "") -> Policy:
    backends = "\n".join(
        f"  {name}: {{kind: vllm, base_url: 'https://{name}.test/v1', operator: self, price: free}}"
        for name in names
    )
    served = ", ".join(f"{name}: m" for name in names)
    text = f"version: 1\nbackends:\n{backends}\nmodels:\n  m: {{on: {{{served}}}}}\n{more}"
    return load_policy_text(text + f"routes: [{{name: all, use: [{use}]}}]\n")[0]


POLICY = policy()
FACTS = Facts(prefix=prefix_of("s", []), stream=True, input_tokens_estimate=1_000)
SAVED_S = 1_000 / PREFILL_TOKENS_PER_S


def plan(facts: Facts = FACTS, world: Policy = POLICY, **snapshot: Any) -> Plan:
    found = decide(world, facts, Snapshot(**snapshot))
    assert isinstance(found, Plan)
    assert sorted(found.candidate_names) == sorted(f"{name}/m" for name in world.backends)
    return found


def order(facts: Facts = FACTS, world: Policy = POLICY, **snapshot: Any) -> str:
    """`cab`: the names of the backends, in the order in which they are asked."""
    return "".join(name[0] for name in plan(facts, world, **snapshot).candidate_names)


OWN = order()
HOME, SECOND, THIRD, LAST = list(OWN)


def loads(**changed: Any) -> dict[str, Load]:
    """All alike but for these: `home={"wait_s": 1.0}`."""
    named = {"home": HOME, "second": SECOND, "third": THIRD, "last": LAST}
    found = dict.fromkeys(NAMES, Load(running=2.0, waiting=0.0, wait_s=0.1))
    for who, fields in changed.items():
        found[named[who]] = replace(found[named[who]], **fields)
    return found


def test_a_prefix_has_an_order_of_its_own() -> None:
    """Others have others, and the order in the file says nothing."""
    others = Counter(order(Facts(prefix=prefix_of(f"s-{n}", [])))[0] for n in range(400))
    assert all(70 <= others[name] <= 130 for name in NAMES)
    assert order(world=policy("dcba")) == OWN
    assert order(world=policy("abcd".replace(HOME, ""))) == OWN[1:]


def test_without_a_prefix_it_is_load_that_orders() -> None:
    """As everywhere else."""
    nothing = Facts(stream=True)
    assert order(nothing) == "abcd"
    assert order(nothing, in_flight={"a": 2, "b": 1}) == "cdba"


@pytest.mark.parametrize(
    ("home", "each", "first"),
    [
        pytest.param(2, 0, HOME, id="little-to-do"),
        pytest.param(3, 0, SECOND, id="much-more-than-the-others"),
        pytest.param(9, 8, HOME, id="a-little-more-than-its-share"),
        pytest.param(11, 8, HOME, id="just-below"),
        pytest.param(12, 8, SECOND, id="a-quarter-more-than-that"),
    ],
)
def test_a_replica_with_too_much_to_do_is_passed_over(home: int, each: int, first: str) -> None:
    """For the next in the prefix's own order; it comes behind all others then."""
    in_flight = dict.fromkeys(NAMES, each) | {HOME: home}
    found = order(in_flight=in_flight)
    assert found[0] == first
    assert found == OWN if first == HOME else found[-1] == HOME


def test_requests_of_others_count_where_a_replica_tells_them() -> None:
    """Many routers: none of them alone sees that the replica is full."""
    assert order(loads=loads(home={"running": 9.0, "waiting": 2.0}))[0] == SECOND
    # Our own that it has not told yet count too.
    assert order(loads=loads(), in_flight={HOME: 12})[0] == SECOND


@pytest.mark.parametrize(
    ("told", "first"),
    [
        pytest.param({"wait_s": 0.1 + SAVED_S}, HOME, id="no-longer-than-it-saves"),
        pytest.param({"wait_s": 0.11 + SAVED_S}, SECOND, id="longer"),
        pytest.param({"wait_s": None}, HOME, id="unknown"),
        pytest.param({"saturated": "9 waiting"}, SECOND, id="saturated"),
        pytest.param({"stale": True}, SECOND, id="stale"),
        pytest.param({"out": frozenset({"m"})}, SECOND, id="out"),
        pytest.param({"out": frozenset({"other"})}, HOME, id="another-model-is-out"),
        pytest.param({"rate_limited": frozenset({"m"})}, SECOND, id="rate-limited"),
        pytest.param({"broke": frozenset({"m"})}, SECOND, id="broke"),
        pytest.param({"cold": 10.0}, SECOND, id="asleep"),
    ],
)
def test_a_replica_is_left_when_its_wait_is_longer_than_what_it_saves(
    told: dict[str, Any], first: str
) -> None:
    """And when it can take nothing; the others keep the prefix's order."""
    found = order(loads=loads(home=told))
    assert found[0] == first
    assert found == OWN if first == HOME else found == OWN[1:] + HOME


def test_a_longer_prompt_waits_longer_for_what_is_cached() -> None:
    """Computing it anew would take longer still."""
    slow = loads(home={"wait_s": 1.0})
    assert order(loads=slow)[0] == SECOND
    assert order(replace(FACTS, input_tokens_estimate=20_000), loads=slow)[0] == HOME


@pytest.mark.parametrize(
    ("seconds", "stream", "first"),
    [
        pytest.param(0.2 * GUESSED_TIMES + SAVED_S, True, HOME, id="a-few-times-as-slow"),
        pytest.param(0.21 * GUESSED_TIMES + SAVED_S, True, SECOND, id="slower"),
        pytest.param(60.0, False, HOME, id="a-long-answer-is-no-wait"),
    ],
)
def test_a_guessed_wait_must_be_much_longer(seconds: float, stream: bool, first: str) -> None:
    """Without telemetry there are only measured paces; one prompt that was not cached makes them jump."""
    paces = {f"{name}/m": Pace(0.2, 0.0) for name in NAMES} | {f"{HOME}/m": Pace(seconds, 0.0)}
    assert order(replace(FACTS, stream=stream), paces=paces)[0] == first


def test_one_that_has_just_come_back_gets_its_share_step_by_step() -> None:
    """A hundred of one prefix under way: its own replica has a tenth of an equal share of them."""
    returning, in_flight = {f"{HOME}/m": 0.1}, Counter[str]()
    for _ in range(100):
        in_flight[order(in_flight=dict(in_flight), returning=returning)[0]] += 1
    assert in_flight[HOME] <= 5
    assert max(in_flight.values()) <= 42


def test_a_prefix_that_everybody_has_is_shared_by_all() -> None:
    """A hundred of one prefix: nobody has over a quarter more than a quarter, and one to round."""
    in_flight = Counter[str]()
    for _ in range(100):
        in_flight[order(in_flight=dict(in_flight))[0]] += 1
    assert max(in_flight.values()) <= 32
    assert in_flight[HOME] == max(in_flight.values())


def test_if_nobody_can_take_it_load_decides() -> None:
    """All saturated: everybody is kept all the same."""
    full = loads(**{who: {"saturated": "full"} for who in ("home", "second", "third", "last")})
    assert order(loads=full, in_flight={"a": 3, "b": 1, "c": 2, "d": 4}) == "bcad"


def test_the_reasons_say_why_each_stands_where_it_stands() -> None:
    """In words, for receipts and for explain."""
    busy = loads(home={"running": 9.0}, second={"wait_s": 9.0}, third={"saturated": "full"})
    told = dict(zip(order(loads=busy), plan(loads=busy).reasons, strict=True))
    assert told[HOME].endswith("it has its share of the requests under way already")
    assert told[SECOND].endswith("it would let it wait longer than a cached beginning saves")
    assert told[THIRD].endswith("it can take nothing now: saturated, refused or asleep")
    assert told[LAST].endswith("next for requests that begin like it")
    assert plan().reasons[0] == (
        "route 'all', model 1 (use); requests that begin like it go there, so that their beginning is cached"
    )
    session = plan(replace(FACTS, session="s")).reasons[0]
    assert session.endswith("its session goes there, so that the session's beginning is cached")


def test_whatever_the_world_nobody_is_added_or_lost() -> None:
    """And the same world gives the same order."""
    chance = random.Random(5)
    for _ in range(200):
        snapshot: dict[str, Any] = {
            "in_flight": {name: chance.randrange(1, 9) for name in NAMES if chance.random() < 0.6},
            "paces": {
                f"{n}/m": Pace(chance.expovariate(1), 0.0) for n in NAMES if chance.random() < 0.6
            },
            "returning": {f"{n}/m": chance.random() for n in NAMES if chance.random() < 0.2},
            "loads": {n: _load(chance) for n in NAMES if chance.random() < 0.7},
            "two_of": chance.random(),
        }
        facts = replace(FACTS, prefix=chance.getrandbits(64), stream=chance.random() < 0.5)
        assert order(facts, **snapshot) == order(facts, **snapshot)


def _load(chance: random.Random) -> Load:
    return Load(
        running=chance.choice([None, 0.0, 5.0, 50.0]),
        waiting=chance.choice([None, 0.0, 3.0]),
        wait_s=chance.choice([None, 0.1, 3.0]),
        saturated=chance.choice(["", "", "full"]),
        out=chance.choice([frozenset(), frozenset({"m"})]),
    )


def test_what_the_policy_says_of_it() -> None:
    """Load and prefix are looked at where somebody is chosen by prefix, and nowhere else."""
    assert (POLICY.prefixes, POLICY.loaded, POLICY.balances) == (True, frozenset(NAMES), True)
    plain = policy(use="{model: m, order_by: load}")
    assert (plain.prefixes, plain.loaded) == (False, frozenset())
    alone = policy("a")
    assert (alone.prefixes, alone.loaded) == (False, frozenset())
