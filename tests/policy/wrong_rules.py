"""Ways to get the rules of a policy wrong that have words of their own: conditions, entries, constraints.

As in `wrong_policies.py`: what is replaced in the good policy, by what, the path, and the message.
"""

from __future__ import annotations

_WHEN = "when: {task: [classify, extract]}"
_USE = "use: [qwen3-8b]"
_SECTION = "routes:\n"


def _constraint(body: str) -> tuple[str, str]:
    return _SECTION, f"constraints: [{body}]\n{_SECTION}"


WRONG_RULES = [
    # keys without a value
    (
        "eu: {regions: [eu]}",
        "eu: {«regions: }",
        "residency.eu.regions",
        "'regions' has no value; write one, or leave the key out",
    ),
    ("task: [classify, extract]", "«tenant: ", "routes[0].when.tenant", "'tenant' has no value"),
    ("task: [classify, extract]", "«tenant: ~", "routes[0].when.tenant", "'tenant' has no value"),
    ("default_residency: public", "«default_residency:", "default_residency", "has no value"),
    # conditions
    (
        "task: [classify, extract]",
        "task: «5",
        "routes[0].when.task[0]",
        "5 is not a name or a pattern",
    ),
    (
        "task: [classify, extract]",
        "«load: {}",
        "routes[0].when.load",
        "'load' is not supported yet in this version",
    ),
    (
        _WHEN,
        "when: {not: {any: [{tsk: a}, {«budget: {}}]}}",
        "routes[0].when.not.any[1].budget",
        "'budget' is not supported yet in this version",
    ),
    (
        _WHEN,
        "when: {not: {any: [{«tsk: a}]}}",
        "routes[0].when.not.any[0].tsk",
        "allowed: task, bucket, residency, tenant, feature, session, environment, capability, tags, stream,",
    ),
    (
        _WHEN,
        "when: {not: «[a]}",
        "routes[0].when.not",
        "a list must be a mapping with the keys task, bucket",
    ),
    (
        _WHEN,
        "when: {metadata: {plan: [pro, «[x]]}}",
        "routes[0].when.metadata.plan[1]",
        "a list is not a name or a pattern with *, ? and [abc]",
    ),
    (
        _WHEN,
        "when: {metadata: {seats: {gte: «many}}}",
        "routes[0].when.metadata.seats.gte",
        "'many' is not a number; write 500 or 8K (8,192)",
    ),
    (
        _WHEN,
        "when: {metadata: {«se ats: 1}}",
        "routes[0].when.metadata['se ats']",
        "'se ats' is not a metadata key: letters",
    ),
    (
        _WHEN,
        "when: {«time: {from: '08:00', to: '08:00'}}",
        "routes[0].when.time",
        "this time is a window without length: `from` and `to` are the same",
    ),
    (
        _WHEN,
        "when: {time: {«frm: '08:00'}}",
        "routes[0].when.time.frm",
        "unknown key 'frm'; allowed: from, to, weekdays, zone; did you mean 'from'?",
    ),
    (
        _WHEN,
        "when: {«input_tokens: {gt: 8, lt: 8}}",
        "routes[0].when.input_tokens",
        "this test holds for no number: its bounds exclude each other",
    ),
    # entries
    (_USE, "use: «5", "routes[0].use", "5 must be a model's name, a mapping, or a list of them"),
    (
        _USE,
        "use: [«[a]]",
        "routes[0].use[0]",
        "a list must be a model's name, or a mapping with the keys",
    ),
    (
        _USE,
        "use: [«{model: qwen3-8b, tier: budget}]",
        "routes[0].use[0]",
        "this entry names model and tier; it takes exactly one of model, tier, bucket, split",
    ),
    (
        _USE,
        "use: [{split: {qwen3-8b: «0, qwen3-32b: 1}}]",
        "routes[0].use[0].split.qwen3-8b",
        "0 is not a weight: a number above 0, up to 1,000,000; leave out a model that is to get nothing",
    ),
    (
        "routes:\n",
        "buckets: {«bandwith: {use: qwen3-8b}}\nroutes:\n",
        "buckets.bandwith",
        "'bandwith' is not allowed here; allowed: bandwidth, judgment, flagship; did you mean 'bandwidth'?",
    ),
    # constraints
    (
        *_constraint("«{when: {tenant: a}, deny: {backends: own-eu}}"),
        "constraints[0].name",
        "key 'name' is missing: Shown where it drops or denies",
    ),
    (
        *_constraint("{name: «c}"),
        "constraints[0]",
        "restricts nothing; it takes at least one of allow, deny, max_output_price and max_request_cost",
    ),
    (
        *_constraint("{name: c, allow: {operators: self}, mode: «observe}"),
        "constraints[0].mode",
        "'observe' does not fit a constraint on regions, operators or retention: where data may go",
    ),
    (
        *_constraint("{name: c, deny: {backends: [own-eu, «own]}}"),
        "constraints[0].deny.backends[1]",
        "unknown backend 'own'; known: hosted-eu, hosted-us, own-eu; did you mean 'own-eu'?",
    ),
    # tiers
    (
        "routes:\n",
        "tiers: {low: «[1]}\nroutes:\n",
        "tiers.low",
        "a list is not a band of prices; write [0.10, 0.30], the first below the second",
    ),
]
