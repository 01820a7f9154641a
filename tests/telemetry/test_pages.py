"""Pages of metrics, read: the recorded ones, other versions' and other servers' names, and hostile ones."""

from __future__ import annotations

import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hybridllm._core.telemetry.pages import PAGE_BYTES_MAX, read_page
from hybridllm._core.telemetry.prometheus import SERIES_MAX, label, samples
from hybridllm._core.telemetry.report import NOTHING_TOLD, LoadReport, TelemetryProblem
from telemetry.pages import VLLM, page, recorded, vllm_page

_PARTS = (
    *(
        b"vllm:num_requests_running",
        b"vllm:num_requests_waiting",
        b"vllm:cache_config_info",
        b"sglang:",
    ),
    *(
        b'engine="0"',
        b'num_gpu_blocks="2"',
        b'block_size="3"',
        b"tgi_queue_size",
        b"nan",
        b"9" * 30,
    ),
    *(
        b"{",
        b"}",
        b"\\",
        b'"',
        b" ",
        b"\n",
        b"1.0",
        b"-",
        b"\x00",
        b"\xff",
        b",",
        b"=",
        b"#",
        b"\t",
    ),
)


@pytest.mark.parametrize(
    ("name", "running", "waiting", "kv_used", "tokens", "cache", "kv_tokens", "engines"),
    [
        ("default/metrics_idle", 0, 0, 0.0, (0, 0), (0, 0), 8_192, 1),
        ("default/metrics_under_load", 2, 4, 0.0235, (1_128, 744), (1_125, 0), 8_192, 1),
        ("full/metrics_under_load", 4, 3, 0.6154, (6_111, 894), (6_111, 2_816), 1_280, 1),
        ("full/metrics_after_disconnects", 0, 0, 0.0, (6_475, 5_686), (6_475, 2_816), 1_280, 1),
        ("auth/metrics_queue_full", 2, 2, 0.0392, (132, 331), (132, 0), 8_192, 1),
        ("dp/metrics_under_load", 4, 3, 0.0315, (60, 119), (60, 0), 8_192, 2),
        ("embed/metrics_after_requests", 0, 0, 0.0, (538, 0), (538, 0), 2_097_152, 1),
    ],
)
def test_every_recorded_page_of_a_real_server_is_read(
    name: str,
    running: float,
    waiting: float,
    kv_used: float,
    tokens: tuple[float, float],
    cache: tuple[float, float],
    kv_tokens: int,
    engines: int,
) -> None:
    """Requests of two engines are summed, and the fullest KV cache counts; `_created` is no counter."""
    report = read_page(recorded()[name])
    assert (report.server, report.engines) == ("vllm", engines)
    assert (report.running, report.waiting) == (running, waiting)
    assert report.kv_used == pytest.approx(kv_used, abs=1e-4)
    assert (report.prompt_tokens, report.generation_tokens) == tokens
    assert report.steps == report.tokens == sum(tokens)
    assert (report.cache_queries, report.cache_hits) == cache
    assert report.kv_tokens == kv_tokens
    assert report.asleep is False
    assert report.tells


def test_no_recorded_page_is_left_out() -> None:
    """The table above names each of them."""
    assert len(recorded()) == 7


@pytest.mark.parametrize(
    ("figures", "kv_used", "cache"),
    [
        pytest.param(
            {
                "vllm__gpu_cache_usage_perc": 0.5,
                "vllm__gpu_prefix_cache_queries_total": 8,
                "vllm__gpu_prefix_cache_hits_total": 2,
            },
            0.5,
            (8, 2),
            id="0.8.5",
        ),
        pytest.param(
            {
                "vllm__gpu_cache_usage_perc": 0.4,
                "vllm__kv_cache_usage_perc": 0.5,
                "vllm__gpu_prefix_cache_queries_total": 7,
                "vllm__gpu_prefix_cache_hits_total": 1,
                "vllm__prefix_cache_queries_total": 8,
                "vllm__prefix_cache_hits_total": 2,
            },
            0.5,
            (8, 2),
            id="0.10.2",
        ),
        pytest.param(
            {
                "vllm__kv_cache_usage_perc": 0.5,
                "vllm__prefix_cache_queries_total": 8,
                "vllm__prefix_cache_hits_total": 2,
            },
            0.5,
            (8, 2),
            id="0.13.0",
        ),
    ],
)
def test_older_versions_names_are_read_too(
    figures: dict[str, float], kv_used: float, cache: tuple[float, float]
) -> None:
    """The newest name goes before, where a version has both."""
    report = read_page(page(vllm__num_requests_running=3, vllm__num_requests_waiting=1, **figures))
    assert (report.running, report.waiting, report.kv_used) == (3, 1, kv_used)
    assert (report.cache_queries, report.cache_hits) == cache
    assert report.tokens is None


def test_other_servers_pages_are_read() -> None:
    """SGLang with two data-parallel ranks, of which one speaks twice; TGI; llama.cpp, older and newer."""
    sglang = (
        b'sglang:num_running_reqs{dp_rank="0",tp_rank="0"} 3\n'
        b'sglang:num_running_reqs{dp_rank="0",tp_rank="1"} 3\n'
        b'sglang:num_running_reqs{dp_rank="1",tp_rank="2"} 4\n'
        + page('{model_name="m"}', sglang__num_queue_reqs=5, sglang__token_usage=0.28)
        + page('{model_name="m"}', sglang__cache_hit_rate=0.1, sglang__max_total_num_tokens=1_000)
        + page('{model_name="m"}', sglang__prompt_tokens_total=8, sglang__generation_tokens_total=7)
    )
    assert read_page(sglang) == LoadReport(
        "sglang", 7, 5, 0.28, 8, 7, cache_hit_rate=0.1, kv_tokens=1_000, engines=2
    )
    tgi = page("", tgi_queue_size=2, tgi_batch_current_size=6)
    assert read_page(tgi) == LoadReport("tgi", 6, 2)
    newer = page("", llamacpp__requests_processing=4, llamacpp__requests_deferred=46)
    assert read_page(newer) == LoadReport("llama.cpp", 4, 46)
    older = newer + page("", llamacpp__kv_cache_usage_ratio=0.5, llamacpp__n_decode_total=125)
    assert read_page(older) == LoadReport("llama.cpp", 4, 46, 0.5, steps=125)


@pytest.mark.parametrize(
    "told",
    [
        b"",
        b"{}",
        b"<html>502</html>",
        page("", go_goroutines=7),
        b"vllm:num_requests_running\n",
        b"\x00" * 99,
    ],
)
def test_what_is_no_known_servers_page_tells_nothing(told: bytes) -> None:
    """Nothing is not idle: every figure is None."""
    report = read_page(told)
    assert not report.tells
    assert (report.running, report.waiting, report.kv_used, report.tokens) == (None,) * 4


@pytest.mark.parametrize(
    "value", ["NaN", "+Inf", "-1.0", "1e999", "", "1_0", "0x10", "9" * 99, "--", "1e30"]
)
def test_a_figure_without_sense_is_unknown(value: str) -> None:
    """And so is the sum of two engines of which one has none."""
    broken = f'vllm:num_requests_running{{engine="1"}} {value}\n'.encode()
    assert read_page(broken + vllm_page(waiting=2)).running is None
    good = b'vllm:num_requests_running{engine="0"} 1.0\n'
    report = read_page(good + broken + page(vllm__num_requests_waiting=2))
    assert (report.running, report.waiting) == (None, 2)


def test_a_line_that_was_cut_off_is_not_read() -> None:
    """Of 12.0, a page that ends early shows 1."""
    whole = b'vllm:num_requests_running{engine="0"} 2\nvllm:num_requests_waiting{engine="0"} 12.0\n'
    assert read_page(whole).waiting == 12
    for end in range(1, 9):
        assert read_page(whole[:-end]).waiting is None


def test_names_are_whole_names_and_labels_may_hold_anything() -> None:
    """Braces, quotes, commas and spaces in a label's value; a time stamp, a carriage return, an exemplar."""
    odd = (
        b'vllm:num_requests_waiting_by_reason{reason="capacity"} 9.0\n'
        b'vllm:num_requests_waiting{a="} 7",b="x\\"} 8,num_gpu_blocks=",engine="0"} 3.0 1700000000000\r\n'
        b'vllm:prompt_tokens_created{engine="0"} 1.79e+09\n'
        b'vllm:prompt_tokens_total{engine="0"} 5 # {trace_id="a}b"} 1.0 1.7e9\n'
        b'# vllm:num_requests_running{engine="0"} 4.0\n'
    )
    report = read_page(odd)
    assert (report.waiting, report.prompt_tokens, report.running) == (3, 5, None)
    info = b'{x_num_gpu_blocks="9",num_gpu_blocks="256",num_gpu_blocks_override="8"} 1.0\n'
    assert label(info, b"num_gpu_blocks") == b"256"
    assert label(info, b"gpu_blocks") is None


def test_shares_are_shares() -> None:
    """A little over 1 is full; 54 is no share, whatever it is."""
    assert read_page(page(vllm__kv_cache_usage_perc=1.0000001)).kv_used == 1.0
    assert read_page(page(vllm__kv_cache_usage_perc=54)).kv_used is None


def test_a_server_that_sleeps_says_so() -> None:
    """Only if all its engines do."""
    state = 'vllm:engine_sleep_state{{engine="{}",sleep_state="awake"}} {}\n'
    both = (state.format(0, 0.0) + state.format(1, 0.0)).encode()
    assert read_page(both).asleep is True
    assert read_page(both.replace(b"0.0", b"1.0", 1)).asleep is False
    assert read_page(vllm_page()).asleep is None


def test_a_page_that_is_too_large_is_a_problem() -> None:
    """So are more series than anybody has. Nothing of the page is in the words."""
    with pytest.raises(TelemetryProblem, match="1024 KiB"):
        read_page(b"vllm:" + b"s" * PAGE_BYTES_MAX)
    line = b'vllm:num_requests_running{engine="secret"} 1\n'
    assert read_page(line * SERIES_MAX).running == SERIES_MAX
    with pytest.raises(TelemetryProblem, match="1024 series") as raised:
        read_page(line * (SERIES_MAX + 1))
    assert "secret" not in str(raised.value)


@pytest.mark.parametrize(
    "pattern",
    [
        b'vllm:num_requests_running{a="',
        b'vllm:num_requests_running{a="\\',
        b'vllm:num_requests_running{"",',
        b"vllm:num_requests_running{,",
        b"vllm:num_requests_running ",
        b"vllm:num_requests_running_x 1\n",
        b'vllm:cache_config_info{num_gpu_blocks="',
        b"vllm:\n",
    ],
)
def test_reading_takes_time_in_proportion_to_length(pattern: bytes) -> None:
    """A mebibyte of anything is read in a moment; a quadratic search would take minutes."""
    begun_s = time.process_time()
    told = (b'vllm:num_requests_running{a="' + pattern * (PAGE_BYTES_MAX // len(pattern)))[
        :PAGE_BYTES_MAX
    ]
    for hostile in (told, told[:-1] + b"\n", told.replace(b"\n", b"")):
        read_page(hostile)
    assert time.process_time() - begun_s < 5.0


@settings(max_examples=150, deadline=None)
@given(st.lists(st.sampled_from(_PARTS), max_size=40).map(b"".join) | st.binary(max_size=200))
def test_whatever_a_server_sends_gives_a_report_or_a_problem(told: bytes) -> None:
    """What is told is finite and not negative."""
    try:
        report = read_page(told)
    except TelemetryProblem:
        return
    assert report == NOTHING_TOLD or report.server
    figures = (report.running, report.waiting, report.kv_used, report.tokens, report.kv_tokens)
    assert all(figure is None or 0 <= figure < 1e30 for figure in figures)


def test_samples_are_looked_for_at_the_beginning_of_lines_only() -> None:
    """The first line too."""
    assert samples(b"\nx 1\nx 2\ny 3\n", b"x") == [(b"", 1.0), (b"", 2.0)]
    assert samples(b"\ny x 1\n", b"x") == []
    assert VLLM.startswith("{")
