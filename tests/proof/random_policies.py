"""Small random policies with every kind of condition, and all requests there are to them, counted out.

The values that requests are made of are chosen by hand: so many that every condition is met and missed in
every way, and none of them taken from the proof.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import combinations, product
from math import prod
from random import Random
from typing import Any

from hybridllm._adapters.policy_files import load_policy_text
from hybridllm._core.decide.decide import decide
from hybridllm._core.decide.match import Subject, holds, whose
from hybridllm._core.decide.plan import Denied, Plan
from hybridllm._core.decide.snapshot import Snapshot
from hybridllm._core.policy.compiled import Capability, Policy
from hybridllm._core.policy.conditions import Live, leaves
from hybridllm._core.request.facts import Facts
from hybridllm.errors import PolicyError

Document = dict[str, Any]
Reaching = dict[tuple[str | None, str], set[tuple[str, str | None, str | None]]]

TAGS = ("public", "eu", "phi")
TASKS = ("classify", "extract", "ext-1", "ext-2")
REQUESTS_MAX = 800
ENVIRONMENTS = ("production", "staging", "qa", "x")
BACKENDS = ("b0", "b1", "b2")
LABELS = {
    "ext-1": "ext-*",
    "ext-2": "ext-*",
}  # what the proof calls tasks that only a pattern names

# Conditions on one fact, and values of it that tell all of them apart.
CONDITIONS: dict[str, tuple[Any, ...]] = {
    "task": ("classify", "extract", "ext-*", ["extract", "ext-*"]),
    "bucket": ("bandwidth", ["judgment"]),
    "residency": ("eu", "phi", ["eu", "public"], "p*"),
    "tenant": ("acme*", "*-eu", "bolt", ["bolt", "a?me"]),
    "feature": ("chat", "search-*"),
    "session": ("beta-*",),
    "environment": ("production", "staging", ["prod*", "qa"]),
    "capability": ("tools", "vision", ["tools", "embeddings"]),
    "tags": ("a", "b", "[ab]", ["c", "b"]),
    "stream": (True, False),
    "input_tokens": ({"gte": 100}, {"lt": 100}, {"gt": 100, "lte": 5_000}),
    "metadata": (
        {"plan": "pro"}, {"plan": ["pro", "ent-*"]}, {"seats": {"gte": 10}}, {"seats": {"gt": 10, "lt": 100}},
    ),
    "time": (
        {"from": "08:00", "to": "18:00", "weekdays": "mon-fri", "zone": "Europe/Berlin"},
        {"from": "22:00", "to": "06:00", "weekdays": ["fri"]},
        {"from": "09:00", "to": "12:00", "zone": "America/New_York"},
    ),
    "volume": (
        {"tokens_per_day": {"gte": "500M"}, "sustained": "90d"},
        {"tokens_per_day": {"gte": "50M"}},
        {"requests_per_hour": {"lt": 100}, "of": "task"},
    ),
    "break_even": ("above", "below"),
}  # fmt: skip
VALUES: dict[str, tuple[Any, ...]] = {
    "tenant": (None, "acme", "acme-eu", "bolt", "bolt-eu"),
    "feature": (None, "chat", "search-1"),
    "session": (None, "beta-1"),
    "tags": tuple(frozenset(some) for some in ("", "a", "b", "c", "ab", "ac")),
    "stream": (False, True),
    "input_tokens": (0, 100, 101, 5_001),
    "metadata.plan": (None, "pro", "ent-1"),
    "metadata.seats": (None, "9", "10", "11", "100"),
    "time": tuple(
        datetime(2026, *at, 30, tzinfo=UTC)
        for at in (
            (1, 9, 5),
            (1, 9, 13),
            (1, 9, 15),
            (1, 9, 22),
            (1, 10, 5),  # a Friday and a Saturday
            (1, 10, 15),
            (3, 13, 13),
            (7, 10, 6),  # Saturday; summer in America only; summer
        )
    ),
}
NEEDS: tuple[frozenset[Capability], ...] = (
    frozenset(),
    frozenset({Capability.TOOLS}),
    frozenset({Capability.VISION}),
    frozenset({Capability.TOOLS, Capability.VISION}),
    frozenset({Capability.EMBEDDINGS}),
)


def given(**fields: Any) -> Document:
    """The fields that say something: in a policy nothing is empty, it is left out."""
    return {name: value for name, value in fields.items() if value not in (None, [], {})}


def document(rng: Random, *about: str) -> Document:
    """A policy that loads: three backends and models, a few routes and constraints on a few facts.

    `about` are facts that conditions look at; otherwise chance chooses.
    """
    facts = [*(about or rng.sample(sorted(CONDITIONS), 2)), "task"]
    routes = [_route(rng, number, facts) for number in range(rng.randint(1, 4))]
    if rng.random() < 0.7:
        routes.append(_uses(rng) | {"name": "last"})
    return given(
        version=1,
        environment="production",
        default_residency=rng.choice((None, "deny", "public")),
        backends={name: _backend(rng, name) for name in BACKENDS},
        models={f"m{number}": _model(rng, number) for number in range(3)},
        residency={tag: _tag(rng, tag) for tag in TAGS},
        tasks={
            task: given(
                residency=rng.choice((None, None, "eu")),
                bucket=rng.choice((None, "bandwidth", "judgment")),
            )
            for task in rng.sample(("classify", "extract"), rng.randint(0, 2))
        },
        tiers={"cheap": [0, 100]},
        buckets={"bandwidth": {"use": ["m0", "m1"]}},
        routes=routes,
        constraints=[_constraint(rng, number, facts) for number in range(rng.randint(0, 2))],
    )  # fmt: skip


def _backend(rng: Random, name: str) -> Document:
    return given(
        kind=rng.choice(("api", "vllm")),
        base_url=f"https://{name}.test/v1",
        region=rng.choice((None, "eu", "us")),
        operator=rng.choice((None, "self", "third_party")),
        retention=rng.choice((None, "none")),
        environments=rng.choice((None, None, None, ["production"], ["staging"])),
        capacity={"usd_per_month": 1_500} if name == BACKENDS[0] else None,
    )


def _model(rng: Random, number: int) -> Document:
    """The first is cheap wherever it is, so that a ceiling leaves somebody; the third embeds."""
    dear = {"input_per_1m": 100, "output_per_1m": 1}
    prices: list[Any] = ["free", {"input_per_1m": 1, "output_per_1m": 0.4}]
    if number > 0:
        prices += [None, dear]
    on = {
        name: given(name="w", price=rng.choice(prices))
        for name in rng.sample(BACKENDS, rng.randint(1, 3))
    }
    capabilities = rng.sample(("tools", "vision"), rng.randint(0, 2))
    return given(
        on=on,
        capabilities=["embeddings"] if number == 2 else capabilities,
        context=rng.choice((None, 5_000)),
        tier="cheap",
    )


def _tag(rng: Random, tag: str) -> Document:
    return given(
        regions=rng.choice((None, ["eu"], ["eu", "us"])),
        operators=rng.choice((None, None, ["self"])),
        retention=rng.choice((None, None, None, ["none"])),
        taint=rng.choice((None, True)) if tag == "phi" else rng.choice((*[None] * 9, "30d")),
    )


def _when(rng: Random, facts: list[str], depth: int = 0) -> Document:
    told = {fact: rng.choice(CONDITIONS[fact]) for fact in rng.sample(facts, rng.randint(1, 2))}
    if depth == 0 and rng.random() < 0.25:
        told["not"] = _when(rng, facts, 1)
    if depth == 0 and rng.random() < 0.25:
        told["any"] = [_when(rng, facts, 1), _when(rng, facts, 1)]
    return told


def _uses(rng: Random) -> Document:
    entry = rng.choice(
        (
            "m0",
            "m1",
            "m2",
            {"tier": "cheap"},
            {"bucket": "bandwidth"},
            {"split": {"m0": 3, "m1": 1}},
        )
    )
    uses = given(
        use=[entry], fallbacks=rng.choice(([], [], ["m1"], ["m2"])) if entry == "m0" else []
    )
    if entry not in ("m1", "m2"):
        ceilings = (None, None, None, "max_output_price", "max_request_cost")
        ceiling = rng.choice(ceilings)
        uses |= {ceiling: 0.5 if ceiling == "max_output_price" else 0.01} if ceiling else {}
    return uses


def _route(rng: Random, number: int, facts: list[str]) -> Document:
    mode = rng.choice((None, None, None, None, "observe"))
    return _uses(rng) | given(name=f"r{number}", mode=mode, when=_when(rng, facts))


def _constraint(rng: Random, number: int, facts: list[str]) -> Document:
    says: Document = rng.choice(
        (
            {"allow": {"regions": ["eu"]}},
            {"allow": {"models": ["m0", "m2"]}},
            {"deny": {"backends": ["b0"]}},
            {"deny": {"models": ["m0"]}, "mode": "observe"},
            {"max_output_price": 0.5},
            {"max_request_cost": 0.001},
        )
    )
    return says | {"name": f"c{number}", "when": _when(rng, facts)}


@dataclass
class Counted:
    """What all requests together come to.

    Attributes:
        ways: (tag, backend) -> (route, capability, task) that lead there.
        models: The same, with the model in the task's place.
        limited: (constraint, backend) -> the routes that lead there while it holds.
        deciding: The routes that decide, or would, for some request in some environment.
        asked: (tag, task) of which there is a plain request that no model is pinned for.
        served: Those of them of which one finds a candidate.
    """

    ways: Reaching = field(default_factory=dict)
    models: Reaching = field(default_factory=dict)
    limited: dict[tuple[str, str], set[str]] = field(default_factory=dict)
    deciding: set[str] = field(default_factory=set)
    asked: set[tuple[str | None, str | None]] = field(default_factory=set)
    served: set[tuple[str | None, str | None]] = field(default_factory=set)


def counted(policy: Policy) -> Counted:
    """Make every request, and have each of them decided."""
    found = Counted()
    for facts, world in requests(policy):
        plan = decide(policy, facts, world)
        if plan.route is not None and facts.model is None:
            found.deciding.add(plan.route)
        if facts.environment == policy.environment:
            _count(policy, facts, plan, world, found)
        found.deciding |= {one.split("'")[1] for one in plan.observed if one.startswith("route ")}
    return found


def _count(
    policy: Policy, facts: Facts, plan: Plan | Denied, world: Snapshot, found: Counted
) -> None:
    task = LABELS.get(facts.task or "", facts.task)
    tags: tuple[str | None, ...] = plan.residency or (None,)
    forgotten = isinstance(plan, Denied) and plan.rule == "default_residency: deny"
    if facts.model is None and not facts.needs and not forgotten:
        asked = {(tag, task) for tag in tags}
        found.asked |= asked
        found.served |= asked if isinstance(plan, Plan) else set()
    if isinstance(plan, Denied):
        return
    subject = Subject(facts, plan.residency, plan.task, world.now_utc, world.held)
    held = [one.name for one in policy.constraints if not one.observe and holds(one.when, subject)]
    needs = [need.value for need in facts.needs] or [None]
    for kept in plan.kept:
        backend, model = kept.candidate.backend.name, kept.candidate.model.name
        for tag, need in product(tags, needs):
            found.ways.setdefault((tag, backend), set()).add((plan.route, need, task))
            found.models.setdefault((tag, backend), set()).add((plan.route, need, model))
        for name in held:
            found.limited.setdefault((name, backend), set()).add(plan.route)


def requests(*policies: Policy) -> Iterator[tuple[Facts, Snapshot]]:
    """Yield every request to one of the policies, and the world then; facts that no condition looks at apart.

    Requests that pin a model come with every value of what constraints look at: nothing else has a say.
    """
    for values in pools(*policies):
        for chosen in product(*values.values()):
            fields = dict(zip(values, chosen, strict=True))
            embeds = Capability.EMBEDDINGS in fields["needs"]
            if not (embeds and fields["stream"]):
                now = fields.pop("time", VALUES["time"][0])
                live = fields.pop("live")
                operation = "embeddings" if embeds else "chat"
                facts = Facts(operation=operation, output_tokens_max=0, **_fields(fields))
                held = frozenset((one, whose(one, facts)) for one in live)
                yield facts, Snapshot(now_utc=now, held=held)


def pools(*policies: Policy) -> list[dict[str, tuple[Any, ...]]]:
    """The values that requests are made of: without a pinned model, and with one."""
    of_routes = [leaf for one in policies for route in one.routes for leaf in leaves(route.when)]
    of_pins = [leaf for one in policies for rule in one.constraints for leaf in leaves(rule.when)]
    for_routes, for_pins = ({leaf.fact for leaf in some} for some in (of_routes, of_pins))
    keeping = dict.fromkeys(
        tag for one in policies for tag, terms in one.residency.items() if terms.taint_s is not None
    )
    kept = [
        tuple(t for n, t in enumerate(keeping) if some >> n & 1)
        for some in range(1 << len(keeping))
    ]
    tags = dict.fromkeys(tag for one in policies for tag in one.residency)
    models = dict.fromkeys(model for one in policies for model in one.candidates)
    tasks = [task for task in TASKS if any(_is_known(one, task) for one in policies)]
    found = []
    for looked_at, live, pinned in (
        (for_routes | for_pins, of_routes + of_pins, (None,)),
        (for_pins - {"environment"}, of_pins, tuple(models)),
    ):
        varied = {fact: VALUES[fact] for fact in VALUES if fact in looked_at and fact != "stream"}
        everywhere = "environment" in looked_at
        of_all: dict[str, tuple[Any, ...]] = {
            "task": (None, *tasks),
            "residency": (None, *tags),
            "taints": tuple(kept),
            "needs": NEEDS,
            "environment": ENVIRONMENTS if everywhere else ENVIRONMENTS[:1],
            "stream": VALUES["stream"] if "stream" in looked_at else (False,),
            "model": pinned,
            "live": tuple(_sets(dict.fromkeys(one for one in live if isinstance(one, Live)))),
        }
        found.append(varied | of_all)
    return found


def _sets(conditions: Iterable[Live]) -> Iterator[tuple[Live, ...]]:
    """Every way in which live conditions can hold: a higher threshold without a lower one, too."""
    conditions = tuple(conditions)
    for size in range(len(conditions) + 1):
        yield from combinations(conditions, size)


def _is_known(policy: Policy, task: str) -> bool:
    return task in policy.known_tasks or (task[:4] == "ext-" and "ext-*" in policy.known_tasks)


def _fields(values: dict[str, Any]) -> dict[str, Any]:
    metadata = {fact[9:]: values.pop(fact) for fact in list(values) if fact.startswith("metadata.")}
    size = values.pop("input_tokens", 0)
    kept = {key: value for key, value in metadata.items() if value is not None}
    return values | {"metadata": kept, "input_tokens_estimate": size, "input_tokens_total": size}


def policy(rng: Random, *about: str) -> Policy:
    """A random policy that loads, and whose requests can be counted out."""
    while True:
        with suppress(PolicyError):  # a constraint and a ceiling leave nobody, for example
            made = load_policy_text(json.dumps(document(rng, *about)), environ={})[0]
            if sum(prod(map(len, pool.values())) for pool in pools(made)) <= REQUESTS_MAX:
                return made
