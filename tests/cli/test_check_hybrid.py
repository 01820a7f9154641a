"""`check` and `diff` on a policy about own machines, volumes and overflow: all of it is shown."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

TEXT = """\
version: 1
backends:
  own: {kind: vllm, base_url: "https://own.test/v1", region: eu, operator: self, price: free,
        capacity: {usd_per_month: 1500, tokens_per_second: 600, hidden_usd_per_month: 200, elastic: true},
        saturation: {max_inflight: 64, queue_depth: 8}, cold_start: {takes: 15s, when_cold: wait}}
  api: {kind: api, base_url: "https://api.test/v1", region: us, operator: third_party}
models: {m: {price: {input_per_1m: 1, output_per_1m: 2}, on: {own: m, api: m}}}
residency: {public: {}, phi: {operators: [self]}}
default_residency: public
routes:
  - name: heavy
    when: {volume: {tokens_per_day: {gte: 500M}, sustained: 90d}}
    use: [{model: m, on: [own, api]}]
    overflow: {from: own, to: api, when: {saturated: true, predicted_wait_ms: {gt: 1500}}, queue_ms: 500}
  - {name: cached, when: {break_even: above}, use: [{model: m, order_by: prefix}]}
  - {name: last, use: [{model: m, order_by: marginal_price}]}
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """The policy."""
    path = tmp_path / "own.yaml"
    path.write_text(TEXT)
    return path


SHOWN = (
    "1,500.00 USD a month, 200.00 USD on top, 600 tokens/s, given back when idle",
    "64 requests under way or more than 8 waiting or 90 % of its KV cache or nothing told for 5 s",
    "15 s, from 80 % of a volume on, waited for",
    "volume tokens_per_day gte 500000000, sustained 90d",
    "overflow from own to api when saturated or predicted_wait_ms gt 1500, queue 500 ms",
    "(by prefix)",
    "(by marginal price)",
    "Conditions on volume and break-even may each hold or not, whatever the others do.",
    "An overflow changes who is asked first among those who may be asked; it adds nobody.",
)


def test_check_shows_what_own_machines_cost_and_when_requests_leave_them(
    hybridllm: Any, file: Path
) -> None:
    """In its tables, and on its page."""
    result = hybridllm("check", file, "--html", file.with_suffix(".html"))
    page = file.with_suffix(".html").read_text(encoding="utf-8")
    shown = hybridllm("check", file)
    assert result.exit_code == shown.exit_code == 0
    for words in SHOWN:
        assert words in shown.stdout, shown.stdout
        assert words in page
    assert "Own machines, and when a backend has enough to do" in page


def test_the_object_of_check_holds_it_for_programs(hybridllm: Any, file: Path) -> None:
    """Money as text, times in seconds, shares in percent."""
    told = json.loads(hybridllm("check", file, "--json").stdout)
    own, api = told["backends"]["own"], told["backends"]["api"]
    assert own["capacity"] == {
        "usd_per_month": "1500", "hidden_usd_per_month": "200", "tokens_per_second": 600.0, "elastic": True,
    }  # fmt: skip
    assert own["saturation"] == {
        "max_inflight": 64, "queue_depth": 8, "kv_cache_pct": 90.0, "stale_after_s": 5.0,
    }  # fmt: skip
    assert own["cold_start"] == {
        "takes_s": 15.0, "wake": None, "wake_at": 0.8, "when_cold": "wait",
    }  # fmt: skip
    assert (api["capacity"], api["cold_start"]) == (None, None)
    assert [route["overflow"] for route in told["routes"]] == [
        [
            {
                "from": ["own"],
                "to": ["api"],
                "when": ["saturated", "predicted_wait_ms gt 1500"],
                "queue_ms": 500.0,
            }
        ],
        [],
        [],
    ]


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("queue_ms: 500", "queue_ms: 800", "when saturated or predicted_wait_ms gt 1500, queue 800 ms"),
        ("gt: 1500", "gt: 900", "or predicted_wait_ms gt 900, queue 500 ms"),
        ("order_by: prefix", "order_by: load", "own/m, api/m (by prefix)"),
        ("{usd_per_month: 1500", "{usd_per_month: 1600", "backend own: capacity"),
        ("queue_depth: 8", "queue_depth: 4", "backend own: saturation"),
        ("takes: 15s", "takes: 25s", "25 s, from 80 % of a volume on, waited for"),
        ("sustained: 90d", "sustained: 60d", "while not tokens_per_day gte 500000000, sustained 60d"),
        ("break_even: above", "break_even: below", "while break-even is below"),
    ],
)  # fmt: skip
def test_diff_tells_what_changes(
    hybridllm: Any, file: Path, old: str, new: str, words: str
) -> None:
    """By the conditions under which it does, and of what is declared."""
    other = file.with_name("other.yaml")
    other.write_text(TEXT.replace(old, new))
    shown = " ".join(hybridllm("diff", file, other).stdout.split())
    assert words in shown, shown


def test_a_policy_without_any_of_it_shows_none_of_it(hybridllm: Any, policy_file: Path) -> None:
    """Nor the sentences of the proof about it."""
    shown = hybridllm("check", policy_file).stdout
    assert "own machines" not in shown
    assert "overflow" not in shown
    assert "break-even" not in shown
