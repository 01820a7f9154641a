"""`hybridllm explain`: the decision of the router, without a connection."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest

from hybridllm import Router, World


def test_an_allowed_request_shows_who_in_order_and_who_not(hybridllm, policy_file: Path) -> None:
    """The route, each candidate with its price, each dropped one with its reason."""
    result = hybridllm("explain", policy_file, "--task", "classify", "--residency", "eu")

    assert result.exit_code == 0
    for words in (
        r"allowed by route cheap",
        r"1 +eu/small +eu +0\.01 +0\.02",
        r"2 +own/large +eu +free +free",
        r"1 +route 'cheap', model 1",
        r"us/small +region +region 'us' is not in \[eu\]",
        r"eu/small is asked first \(primary\)",
        r"eu +request +regions eu",
        r"1 +cheap +decides",
    ):
        assert re.search(words, result.stdout), f"{words!r} is not in\n{result.stdout}"


@pytest.mark.parametrize(
    ("options", "words"),
    [
        pytest.param(("--residency", "phii"), "did you mean 'phi'", id="misspelt-tag"),
        pytest.param(("--task", "clasify"), "did you mean 'classify'", id="misspelt-task"),
        pytest.param(("--model", "small", "--needs", "vision"), "vision", id="capability"),
        pytest.param(("--tokens", "9000"), "do not fit the context", id="context"),
        pytest.param(("--model", "small", "--residency", "phi"), "operator", id="residency"),
        pytest.param(("--model", "small", "--max-cost", "0"), "max_cost_usd", id="cost"),
    ],
)
def test_a_denied_request_ends_with_3_and_says_why(
    hybridllm, policy_file: Path, options: tuple[str, ...], words: str
) -> None:
    """The reason stands in the text, and in the object of --json."""
    result = hybridllm("explain", policy_file, *options)
    as_json = hybridllm("explain", policy_file, *options, "--json")

    assert result.exit_code == as_json.exit_code == 3
    assert "denied by" in result.stdout
    assert words in result.stdout
    told = json.loads(as_json.stdout)
    assert told["allowed"] is False
    assert words in told["message"]


@pytest.mark.parametrize(
    "hints",
    [
        {},
        {"task": "classify"},
        {"task": "review", "residency": "eu"},
        {"model": "small", "tenant": "acme"},
        {"task": "classify", "stream": True, "needs": ["vision"], "environment": "staging"},
        {"feature": "chat", "session": "s-1", "tags": ["beta", "x"], "max-tokens": 7},
        {"operation": "embeddings", "model": "small"},
        {"vector-space": "bge"},
    ],
)
def test_json_is_what_the_router_itself_says(
    hybridllm, policy_file: Path, hints: dict[str, object]
) -> None:
    """Every option reaches the decision."""
    options: list[str] = []
    for name, value in hints.items():
        values = value if isinstance(value, list) else [value]
        for one in values:
            options += [f"--{name}"] if one is True else [f"--{name}", str(one)]

    result = hybridllm("explain", policy_file, *options, "--json")

    environment = hints.get("environment")
    router = Router.from_file(policy_file, environ={}, environment=environment)
    asked = {key.replace("-", "_"): hints[key] for key in hints if key != "environment"}
    assert json.loads(result.stdout) == router.explain(input_tokens=0, **asked).to_dict()


def test_metadata_are_keys_and_values(hybridllm, policy_file: Path) -> None:
    """A value may hold an equals sign; a policy that looks at the key decides by it."""
    with_metadata = "when: {task: classify, metadata: {plan: a=b}}"
    policy_file.write_text(policy_file.read_text().replace("when: {task: classify}", with_metadata))
    options = ("--task", "classify", "--metadata", "plan=a=b", "--metadata", "seats=3", "--json")

    told = json.loads(hybridllm("explain", policy_file, *options).stdout)

    assert (told["route"], told["request"]["metadata"]) == ("cheap", {"plan": "a=b"})


NOW = datetime(2026, 12, 1, 9, tzinfo=UTC)


@pytest.mark.parametrize(
    ("options", "world"),
    [
        pytest.param(
            ["--at", "down=us,eu", "--at", "down=own"], {"down": ["us", "eu", "own"]}, id="down"
        ),
        pytest.param(
            ["--at", "p90=own:1200ms"], {"ttft_ms": {"own": {90: 1200}}}, id="first-token"
        ),
        pytest.param(
            ["--at", "p50=own/large:0.4s,us:3s", "--at", "p99=us:4s"],
            {"ttft_ms": {"own/large": {50: 400}, "us": {50: 3000, 99: 4000}}},
            id="candidate",
        ),
        pytest.param(["--at", "total-p95=eu:2s"], {"total_ms": {"eu": {95: 2000}}}, id="answer"),
        pytest.param(
            ["--at", "inflight=us:12,eu:0"], {"in_flight": {"us": 12, "eu": 0}}, id="load"
        ),
        pytest.param(["--at", "chance=0.5"], {"chance": 0.5}, id="chance"),
        pytest.param(
            ["--at", "own.kv=0.93", "--at", "own.waiting=9", "--at", "us.out", "--at", "wait=2s"],
            {
                "load": {
                    "own": {"kv_cache_pct": 93, "waiting": 9},
                    "us": {"out": True},
                    "*": {"predicted_wait_ms": 2_000},
                }
            },
            id="loads",
        ),
        pytest.param(
            [
                "--at",
                "own.kv=93%",
                "--at",
                "own.cold=15s",
                "--at",
                "own.saturated",
                "--at",
                "us.rate_limited",
                "--at",
                "us.budget",
                "--at",
                "eu.wait=1500ms",
            ],
            {
                "load": {
                    "own": {"kv_cache_pct": 93, "cold_s": 15, "saturated": True},
                    "us": {"rate_limited": True, "budget": True},
                    "eu": {"predicted_wait_ms": 1_500},
                }
            },
            id="more-loads",
        ),
        pytest.param(
            ["--volume", "600M/d", "--sustained", "120d"],
            {"volume": {"tokens_per_day": 600_000_000, "sustained_days": 120}},
            id="volume",
        ),
        pytest.param(
            [
                "--volume",
                "6000 requests/min",
                "--volume",
                "$12.50/month",
                "--volume",
                "tenant:a.b=5K tokens/hour",
            ],
            {
                "volume": [
                    {"requests_per_minute": 6_000},
                    {"usd_per_month": 12.5},
                    {"tokens_per_hour": 5_000, "of": "tenant:a.b"},
                ]
            },
            id="volumes",
        ),
        pytest.param(["--break-even", "above"], {"break_even": "above"}, id="break-even"),
        pytest.param(["--carried", "phi,eu"], {"carried": ["phi", "eu"]}, id="carried"),
        pytest.param([], {}, id="time"),
    ],
)
def test_a_state_of_the_world_is_what_the_router_takes(
    hybridllm, policy_file: Path, options: list[str], world: dict[str, object]
) -> None:
    """Each option becomes its part of the world; times of one name add up."""
    options = [*options, "--now", "2026-12-01T10:00+01:00", "--json"]
    result = hybridllm("explain", policy_file, "--task", "classify", *options)

    router = Router.from_file(policy_file, environ={})
    explained = router.explain(task="classify", world=World(**{"now": NOW, **world}))
    assert json.loads(result.stdout) == explained.to_dict()


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (
            ["--at", "down=uss"],
            "'uss' is no backend of the policy; did you mean 'us'?; known: us, eu, own",
        ),
        (["--at", "dwn=us"], "did you mean 'down'?"),
        (["--at", "p91=us:3s"], "'p91' is not one of down, inflight, chance, p50"),
        (["--at", "down"], "'down' is not of the form down=BACKEND"),
        (["--at", "down="], "'down=' is not of the form down=BACKEND"),
        (["--at", "p90=us"], "'p90=us' is not of the form p90=BACKEND:1200ms"),
        (["--at", "p90=us:fast"], "is not of the form p90=BACKEND:1200ms"),
        (["--at", "p90=us:12"], "is not of the form p90=BACKEND:1200ms"),
        (["--at", "p90=us:nans"], "nan is no number of milliseconds"),
        (["--at", "total-p90=us/smal:1s"], "did you mean 'us/small'?"),
        (["--at", "inflight=us:few"], "is not of the form inflight=BACKEND:12"),
        (["--at", "chance=2"], "chance: 2.0 is not in [0, 1)"),
        (["--at", "chance=even"], "is not of the form chance=0.5"),
        (["--at", "own.kvv=1"], "BACKEND.kv, BACKEND.waiting"),
        (["--at", "own.kv=93"], "'own.kv=93' is no share; write kv=0.93 or kv=93%"),
        (["--at", "own.kv=full"], "is not of the form vllm-fra.kv=0.93"),
        (["--at", "own.waiting"], "is not of the form vllm-fra.waiting=9"),
        (["--at", "own.wait=2"], "is not of the form vllm-fra.wait=2000ms"),
        (["--at", "own.cold=soon"], "is not of the form vllm-fra.cold=15s"),
        (["--at", "own.out=1"], "takes no value; write own.out"),
        (["--at", "owl.out"], "backend 'owl' is not one of us, eu, own, *; did you mean 'own'?"),
        (["--volume", "600M"], "'600M' is no volume; write 600M/d"),
        (["--volume", "600M/week"], "'600M/week' is no volume"),
        (["--volume", "model:smal=5M/d"], "of model 'smal' is not one of"),
        (["--volume", "everybody=5M/d"], "of 'everybody' is not one of all, task, tenant"),
        (["--volume", "5M/h", "--sustained", "9d"], "goes with a volume per day: --volume 600M/d"),
        (["--volume", "5M/d", "--sustained", "9"], "'9' is not a number of days; write 120d"),
        (["--break-even", "over"], "'over' is not one of above, below"),
        (
            ["--now", "2026-12-01T09:00"],
            "has no zone, so it is not one time; write 2026-12-01T09:00Z",
        ),
        (["--now", "noon"], "'noon' is not a time; write 2026-12-01T09:00Z"),
        (["--carried", "phii"], "'phii' is no residency tag of the policy; did you mean 'phi'?"),
        (["--metadata", "plan"], "--metadata: 'plan' is not KEY=VALUE"),
        (["--operation", "embed"], "operation: 'embed' is not one of chat, embeddings"),
        (["--tree", "--json"], "exclude each other"),
    ],
)
def test_a_world_that_cannot_be_is_wrong_usage(
    hybridllm, policy_file: Path, options: list[str], words: str
) -> None:
    """Code 2, with the form that would have been right, or the nearest name."""
    result = hybridllm("explain", policy_file, *options)

    assert result.exit_code == 2
    assert words in " ".join(result.stderr.split())
    assert "Traceback" not in result.output


def test_the_tables_show_the_world_and_who_answers_in_it(hybridllm, policy_file: Path) -> None:
    """Columns for what is only now and then there to say."""
    options = ("--at", "down=us", "--at", "inflight=eu:3", "--at", "p90=eu:1200ms")
    result = hybridllm("explain", policy_file, "--task", "classify", *options)

    for words in (
        r"in a world with us down; 3 in flight on eu; eu ttft p90 1200 ms; at \w{3} 20\d\d-",
        r"expected cost +now +in flight +measured",
        r"us/small .* down",
        r"eu/small .* 3 +ttft p90 1200 ms",
        r"allowed by route cheap of policy; eu/small answers \(failover\)",
    ):
        assert re.search(words, result.stdout), f"{words!r} is not in\n{result.stdout}"
    all_down = hybridllm("explain", policy_file, "--at", "down=us,eu,own")
    assert all_down.exit_code == 0
    assert "nobody answers (route_exhausted)" in all_down.stdout


RULES = """
constraints:
  - {name: no-own, when: {tenant: acme}, deny: {backends: [own]}}
  - {name: thrift, mode: observe, max_output_price: 0.5}
"""


def test_the_tables_show_constraints_splits_and_routes(hybridllm, policy_file: Path) -> None:
    """What each did, also those that only observe."""
    text = policy_file.read_text().replace(
        "  - name: default\n    use: [large]",
        "  - {name: trial, mode: observe, use: [small]}\n"
        "  - {name: default, use: [{split: {small: 30, large: 10}}]}",
    )
    policy_file.write_text(text + RULES)
    result = hybridllm("explain", policy_file, "--tenant", "acme", "--session", "s")

    for words in (
        r"us/small .* 75%",
        r"no-own +deny backends own +drops own/large",
        r"thrift +max_output_price 0.5 +only observes; would drop us/large",
        r"1 +cheap +no: asks for task classify, and the request has none",
        r"2 +trial +would decide, but only observes",
        r"3 +default +decides",
    ):
        assert re.search(words, result.stdout), f"{words!r} is not in\n{result.stdout}"


def test_a_tree_and_a_chart_are_those_of_the_explanation(hybridllm, policy_file: Path) -> None:
    """Ready for a log, and for a page."""
    options = (
        "--task",
        "classify",
        "--residency",
        "eu",
        "--at",
        "down=eu",
        "--now",
        "2026-12-01T09:00Z",
    )
    told = Router.from_file(policy_file, environ={}).explain(
        task="classify", residency="eu", world=World(down=["eu"], now=NOW)
    )

    assert hybridllm("explain", policy_file, *options, "--tree").stdout == f"{told}\n"
    assert hybridllm("explain", policy_file, *options, "--mermaid").stdout == told.to_mermaid()
    assert hybridllm("explain", policy_file, "--residency", "phii", "--mermaid").exit_code == 3


def test_a_wrong_hint_is_wrong_usage(hybridllm, policy_file: Path) -> None:
    """An unknown capability is told with those that exist."""
    result = hybridllm("explain", policy_file, "--needs", "visoin")

    assert result.exit_code == 2
    assert "vision" in result.stderr
    assert "Traceback" not in result.output


def test_a_policy_with_problems_ends_with_1(hybridllm, policy_file: Path) -> None:
    """The problems are told as `check` tells them."""
    policy_file.write_text(policy_file.read_text().replace("kind: vllm", "kind: vlm"))

    result = hybridllm("explain", policy_file)

    assert result.exit_code == 1
    assert f"{policy_file}:20:" in result.stderr


def test_the_page_draws_the_chart_that_it_shows() -> None:
    """The text is compared with what the command prints; the drawing below it is of the same text."""
    page = (Path(__file__).parents[2] / "docs" / "explain.md").read_text(encoding="utf-8")
    console, mermaid = re.findall(
        r"```(?:console\n\$ .*--mermaid|mermaid)\n(.*?)```", page, re.DOTALL
    )
    assert console == mermaid


def test_a_policy_may_come_through_a_pipe(policy_file: Path) -> None:
    """As `explain <(...)` hands it over: a pipe under /dev/fd."""
    command = f"hybridllm explain <(cat {policy_file}) --task classify"
    folder = Path(sys.executable).parent
    told = subprocess.run(
        ["bash", "-c", f"PATH={folder}:$PATH {command}"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert told.returncode == 0, told.stderr
