"""Every problem of a policy is told at once, at its place, in words that say what would be right."""

from __future__ import annotations

import pytest

from hybridllm.errors import PolicyError
from policy.policy_text import GOOD, changed, place_of_mark, problems_of

# What is replaced in the good policy, by what (the mark stands where the problem is told), the path of
# the problem, and what its message says.
WRONG = [
    ("version: 1", "version: «2", "version", "2 is not allowed here; allowed: 1"),
    ("version: 1\n", "«", "version", "key 'version' is missing"),
    ("environment:", "«envronment:", "envronment", "unknown key 'envronment'; allowed: version, "),
    ("environment:", "«envronment:", "envronment", "; did you mean 'environment'?"),
    (
        "environment: production",
        "environment: «1",
        "environment",
        "1 is not a name: letters, digits",
    ),
    # backends
    (
        "kind: vllm",
        "kind: «vlm",
        "backends.own-eu.kind",
        "'vlm' is not allowed here; allowed: api, vllm; did",
    ),
    ("    kind: vllm\n", "", "backends.own-eu.kind", "key 'kind' is missing: api: a hosted API."),
    ("    region: eu\n", "    «regoin: eu\n", "backends.own-eu.regoin", "did you mean 'region'?"),
    (
        "operator: self\n",
        "operator: «selff\n",
        "backends.own-eu.operator",
        "allowed: self, third_party; did you",
    ),
    (
        "retention: none\n",
        "retention: «forever\n",
        "backends.own-eu.retention",
        "write none, 30d or 12h",
    ),
    (
        "retention: none\n",
        "retention: «0d\n",
        "backends.own-eu.retention",
        "write none for no time at all",
    ),
    (
        "retention: none\n",
        "retention: «30\n",
        "backends.own-eu.retention",
        "30 is not a time that data is kept",
    ),
    (
        "price: free",
        "price: «fre",
        "backends.own-eu.price",
        "'fre' is not a price; write free or {input_per_1m",
    ),
    ("price: free", "price: «0", "backends.own-eu.price", "0 is not a price"),
    (
        "price: free",
        "price: {input_per_1m: 1, output_per_1m: «cheap}",
        "backends.own-eu.price.output_per_1m",
        "'cheap' is not an amount of USD; write 0.18",
    ),
    (
        "price: free",
        "price: {input_per_1m: «-0.1, output_per_1m: 1}",
        "backends.own-eu.price.input_per_1m",
        "-0.1 is out of range: from 0 to 100,000",
    ),
    (
        "    price: free",
        "    «price: {input_per_1m: 1}",
        "backends.own-eu.price.output_per_1m",
        "key 'output_per_1m' is missing: USD per 1,000,000 completion tokens",
    ),
    (
        "price: free",
        "timeouts: {connect: «10}",
        "backends.own-eu.timeouts.connect",
        "10 is not a duration with its unit; write 800ms, 10s",
    ),
    (
        "price: free",
        "timeouts: {connect: «2m}",
        "backends.own-eu.timeouts.connect",
        "from 10ms to 60s",
    ),
    (
        "price: free",
        "timeouts: {connect: «.nan}",
        "backends.own-eu.timeouts.connect",
        "not a finite number",
    ),
    (
        "price: free",
        "timeouts: {«total: 2m}",
        "backends.own-eu.timeouts.total",
        "limits a request, not a backend",
    ),
    (
        "price: free",
        "allow_plaintext: «yes",
        "backends.own-eu.allow_plaintext",
        "'yes' is neither true nor false",
    ),
    ("price: free", "environments: «[]", "backends.own-eu.environments", "must not be empty"),
    (
        "price: free",
        "environments: [«a b]",
        "backends.own-eu.environments[0]",
        "'a b' is not a name",
    ),
    (
        "price: free",
        "headers: {«Host: a}",
        "backends.own-eu.headers.Host",
        "'Host' is set by the router itself",
    ),
    (
        "price: free",
        "headers: {«X A: a}",
        "backends.own-eu.headers['X A']",
        "'X A' is not the name of a header",
    ),
    (
        "price: free",
        "headers: {«authorization: a}",
        "backends.own-eu.headers.authorization",
        "name the variable that holds the key under api_key_env",
    ),
    (
        "price: free",
        'headers: {X-A: «"a\\r\\nb: c"}',
        "backends.own-eu.headers.X-A",
        "printable ASCII on one line",
    ),
    (
        "price: free",
        'headers: {X-A: «"a\\nb: c"}',
        "backends.own-eu.headers.X-A",
        "printable ASCII on one line",
    ),
    (
        "price: free",
        "headers: «{X-A: a, x-a: b}",
        "backends.own-eu.headers",
        "names a header twice",
    ),
    (
        "price: free",
        "«limits: {}",
        "backends.own-eu.limits",
        "'limits' is not supported yet in this version",
    ),
    ("price: free", "«saturation: {}", "backends.own-eu.saturation", "not supported yet"),
    ("price: free", "«capacity: {}", "backends.own-eu.capacity", "not supported yet"),
    (
        "  hosted-us: {kind",
        "  «hosted us: {kind",
        "backends['hosted us']",
        "'hosted us' is not a name: letters",
    ),
    # models
    (
        "on: {hosted-us: qwen3-8b,",
        "on: {«hosted-uss: qwen3-8b,",
        "models.qwen3-8b.on.hosted-uss",
        "unknown backend",
    ),
    (
        "on: {hosted-us: qwen3-8b,",
        "on: {«hosted-uss: qwen3-8b,",
        "models.qwen3-8b.on.hosted-uss",
        "'hosted-uss'; known: hosted-eu, hosted-us, own-eu; did you mean 'hosted-us'?",
    ),
    (
        "on: {hosted-us: qwen3-8b,",
        "on: {hosted-us: «8,",
        "models.qwen3-8b.on.hosted-us",
        "8 must be the backend's name for the model, or a mapping with the keys name, price",
    ),
    (
        "[tools, json_schema]",
        "[tools, «json]",
        "models.qwen3-32b.capabilities[1]",
        "'json' is not allowed here",
    ),
    (
        "[tools, json_schema]",
        "[«tool]",
        "models.qwen3-32b.capabilities[0]",
        "; did you mean 'tools'?",
    ),
    (
        "[tools, json_schema]\n",
        "[tools]\n    context: «1_000\n",
        "models.qwen3-32b.context",
        "'1_000' is not a number of tokens; write 32K (32,768), 131072 or auto",
    ),
    (
        "[tools, json_schema]\n",
        "[tools]\n    context: «0\n",
        "models.qwen3-32b.context",
        "0 is out of range",
    ),
    (
        "[tools, json_schema]\n",
        "[tools]\n    context: «32Q\n",
        "models.qwen3-32b.context",
        "'32Q' is not",
    ),
    (
        "[tools, json_schema]\n",
        "[tools]\n    dimensions: «true\n",
        "models.qwen3-32b.dimensions",
        "true is not",
    ),
    (
        "[tools, json_schema]\n",
        "[tools]\n    like: «qwen3-23b\n",
        "models.qwen3-32b.like",
        "unknown model 'qwen3-23b'; `like` names one of the model book; did you mean 'qwen3-32b'?",
    ),
    (
        "on: {hosted-us: qwen3-8b, hosted-eu: qwen3-8b}",
        "on: «{}",
        "models.qwen3-8b.on",
        "must not be empty",
    ),
    (
        "on: {hosted-us: qwen3-8b, hosted-eu: qwen3-8b}",
        "on: «[hosted-us]",
        "models.qwen3-8b.on",
        "a list must be a mapping",
    ),
    # residency
    (
        "default_residency: public",
        "default_residency: «publik",
        "default_residency",
        "did you mean 'public'?",
    ),
    ("phi: {regions", "«deny: {regions", "residency.deny", "name the tag otherwise"),
    (
        "operators: [self]",
        "operators: [«us]",
        "residency.phi.operators[0]",
        "allowed: self, third_party",
    ),
    ("{regions: [eu], o", "{regions: «[], o", "residency.phi.regions", "must not be empty"),
    # tasks
    (
        "bucket: bandwidth",
        "bucket: «bandwith",
        "tasks.classify.bucket",
        "did you mean 'bandwidth'?",
    ),
    (
        "bucket: bandwidth",
        "residency: «ph",
        "tasks.classify.residency",
        "unknown residency tag 'ph'; known:",
    ),
    ("bucket: bandwidth", "«slo: {}", "tasks.classify.slo", "not supported yet"),
    (
        "total: 10s",
        "total: «10",
        "tasks.classify.timeouts.total",
        "10 is not a duration with its unit",
    ),
    # routes
    (
        "- name: cheap\n    when",
        "- «when",
        "routes[0].name",
        "key 'name' is missing: Shown in receipts",
    ),
    (
        "- name: default",
        "- name: «cheap",
        "routes[1].name",
        "route 'cheap' stands here twice; first in line 26",
    ),
    ("use: [qwen3-8b]", "use: «[]", "routes[0].use", "must not be empty"),
    ("fallbacks: [qwen3-32b]", "fallbacks: «[]", "routes[0].fallbacks", "must not be empty"),
    (
        "use: [qwen3-8b]",
        "use: [«qwen3-8]",
        "routes[0].use[0]",
        "unknown model 'qwen3-8'; known: qwen3-32b, qwen3-8b",
    ),
    (
        "use: [qwen3-8b]",
        "use: [«deepseek-r1]",
        "routes[0].use[0]",
        "is in the model book, but this policy does not say who serves it; add it under models",
    ),
    (
        "fallbacks: [qwen3-32b]",
        "fallbacks: [«qwen3-8b]",
        "routes[0].fallbacks[0]",
        "named twice in this route",
    ),
    (
        "on: [own-eu, hosted-us]",
        "on: [own-eu, «own]",
        "routes[1].use[0].on[1]",
        "unknown backend 'own'",
    ),
    ("on: [own-eu, hosted-us]", "on: «[]", "routes[1].use[0].on", "must not be empty"),
    (
        "on: [own-eu, hosted-us]",
        "on: [own-eu, «hosted-eu]",
        "routes[1].use[0].on[1]",
        "backend 'hosted-eu' does not serve 'qwen3-32b'; these do: hosted-us, own-eu",
    ),
    (
        "model: qwen3-32b, on",
        "«modl: qwen3-32b, on",
        "routes[1].use[0].modl",
        "did you mean 'model'?",
    ),
    (
        "task: [classify, extract]",
        "residency: «pii",
        "routes[0].when.residency",
        "unknown residency tag 'pii'",
    ),
    (
        "task: [classify, extract]",
        "residency: [«x-*]",
        "routes[0].when.residency[0]",
        "unknown residency tag",
    ),
    ("task: [classify, extract]", "task: «[]", "routes[0].when.task", "must not be empty"),
    ("task: [classify, extract]", "«tsk: [a]", "routes[0].when.tsk", "did you mean 'task'?"),
    ("task: [classify, extract]", "«volume: {}", "routes[0].when.volume", "not supported yet"),
    (
        "when: {task: [classify, extract]}",
        "when:«",
        "routes[0].when",
        "an empty value must be a mapping",
    ),
    (
        "  - name: default",
        "    «overflow: {}\n  - name: default",
        "routes[0].overflow",
        "not supported yet",
    ),
    (
        "routes:",
        "«budgets: []\nroutes:",
        "budgets",
        "'budgets' is not supported yet in this version",
    ),
    ("routes:", "«tests: []\nroutes:", "tests", "'tests' is not supported yet in this version"),
    ("routes:", "retries: {attempts_max: «0}\nroutes:", "retries.attempts_max", "from 1 to 50"),
]


@pytest.mark.parametrize(("old", "new", "path", "message"), WRONG)
def test_a_problem_is_told_at_its_place(old: str, new: str, path: str, message: str) -> None:
    """One mistake: file, line, column, path, the value, what is allowed."""
    text, place = place_of_mark(changed(old, new))
    told = [problem for problem in problems_of(text) if problem.path == path]
    assert told, [str(problem) for problem in problems_of(text)]
    assert any(message in problem.message for problem in told), told[0].message
    if "«" in new:
        assert (told[0].line, told[0].column) == place


@pytest.mark.parametrize(
    "section", ["backends", "models", "residency", "tasks", "routes", "retries"]
)
@pytest.mark.parametrize("shape", ["x", "3", "[x]", "[]", "{}", "", "{x: y}", "[[x]]", "true"])
def test_a_section_of_another_shape_is_told_as_such(section: str, shape: str) -> None:
    """And nothing is told of the names that it might have declared, had it been right."""
    before, _, rest = f"\nretries: {{}}\n{GOOD}".partition(f"\n{section}:")
    body = rest.split("\n")
    after = next(
        (i for i, line in enumerate(body[1:], 1) if line and line[0] not in " -"), len(body)
    )
    text = f"{before}\n{section}: {shape}\n" + "\n".join(body[after:])
    problems = problems_of(text)
    assert problems or (shape, section) in {
        ("{}", "tasks"),
        ("{}", "retries"),
    }, text
    if shape not in ("{}", "{x: y}", ""):
        assert {problem.path.partition("[")[0].partition(".")[0] for problem in problems} == {
            section
        }


def test_a_missing_key_is_told_where_its_mapping_begins() -> None:
    """There is no place for what is not there: the key of the mapping that lacks it is shown."""
    text, place = place_of_mark(changed("  own-eu:\n    kind: vllm\n", "  «own-eu:\n"))
    (problem,) = problems_of(text)
    assert (problem.line, problem.column) == place


def test_no_place_is_told_twice() -> None:
    """What is wrong in two ways is told once: a name that is none is not also told as unknown."""
    for old, new, *_ in WRONG:
        problems = problems_of(changed(old, new).replace("«", ""))
        places = [(problem.line, problem.column) for problem in problems]
        assert len(set(places)) == len(places), [str(problem) for problem in problems]


def test_all_problems_are_told_at_once_in_the_order_of_the_file() -> None:
    """YAML, schema and names: three runs' worth of mending in one."""
    text = GOOD
    for old, new in (
        ("version: 1", "version: 3"),
        ("kind: vllm", "kind: &k vllm"),
        ("base_url: https://vllm.internal/v1", "base_url: http://vllm.internal/v1"),
        ("[tools, json_schema]", "[tool]"),
        ("hosted-eu: qwen3-8b", "hosted-fr: qwen3-8b"),
        ("total: 10s", "total: 10"),
        ("fallbacks: [qwen3-32b]", "fallbacks: [qwen3-33b]"),
        ("own-eu, hosted-us]", "own-eu, '${NOWHERE}']"),
    ):
        text = text.replace(old, new)
    problems = problems_of(text)
    assert [problem.path for problem in problems] == [
        "version",
        "backends.own-eu.kind",
        "backends.own-eu.base_url",
        "models.qwen3-8b.on.hosted-fr",
        "models.qwen3-32b.capabilities[0]",
        "tasks.classify.timeouts.total",
        "routes[0].fallbacks[0]",
        "routes[1].use[0].on[1]",
    ]
    assert not any(problem.warning for problem in problems)


def test_the_error_reads_as_a_list_of_places() -> None:
    """Its text is what a terminal shows; editors turn file:line:column into links."""
    with pytest.raises(PolicyError) as caught:
        raise PolicyError("p.yaml", problems_of(GOOD.replace("kind: vllm", "kind: vlm")))
    assert str(caught.value) == (
        "p.yaml: 1 problem\n"
        "  p.yaml:8:11: backends.own-eu.kind: 'vlm' is not allowed here; allowed: api, vllm; "
        "did you mean 'vllm'?"
    )
