"""`hybridllm batch`: a file in, a file out, a bar in between; resumable however it ends."""

from __future__ import annotations

import asyncio
import json
import re
import signal
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from typer.testing import Result

from bulk.paying_server import PayingServer, paying_server
from cli.conftest import run_in_terminal

POLICY = """\
version: 1
backends:
  near: {{kind: api, base_url: "{url}", region: eu}}
models:
  small: {{price: {{input_per_1m: 1000, output_per_1m: 2000}}, on: {{near: small}}}}
residency:
  eu: {{regions: [eu]}}
default_residency: eu
routes:
  - {{name: default, use: [small]}}
retries: {{same_backend_max: 0}}
"""
COST_EACH_USD = 0.02


@pytest.fixture
async def server() -> AsyncIterator[PayingServer]:
    async with paying_server() as server:
        yield server


@pytest.fixture
def policy(tmp_path: Path, server: PayingServer) -> Path:
    path = tmp_path / "policy.yaml"
    path.write_text(POLICY.format(url=server.url))
    return path


def line(number: int, **changed: Any) -> str:
    body = {"messages": [{"role": "user", "content": f"item {number}"}]}
    whole = {"custom_id": f"id-{number}", "method": "POST", "url": "/v1/chat/completions"}
    return json.dumps(whole | {"body": body} | changed) + "\n"


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """Twenty good lines."""
    path = tmp_path / "in.jsonl"
    path.write_text("".join(map(line, range(20))))
    return path


@pytest.fixture
def batch(hybridllm, policy: Path, source: Path, tmp_path: Path):
    """Run `batch` in another thread, for the backend lives in this one's loop."""

    async def run(*args: object) -> Result:
        files = (source, tmp_path / "out.jsonl", "--policy", policy)
        return await asyncio.to_thread(hybridllm, "batch", *files, *args)

    return run


def output(folder: Path, name: str = "out.jsonl") -> list[dict[str, Any]]:
    return [json.loads(text) for text in (folder / name).read_text().splitlines()]


async def test_every_line_is_answered_in_its_place(batch, tmp_path: Path, server) -> None:
    """In OpenAI's format; the summary tells what it cost and where things are."""
    result = await batch()

    assert result.exit_code == 0, result.output
    told = output(tmp_path)
    assert [one["custom_id"] for one in told] == [f"id-{n}" for n in range(20)]
    texts = [one["response"]["body"]["choices"][0]["message"]["content"] for one in told]
    assert texts == [f"answer {n}" for n in range(20)]
    assert "20 lines: 20 answered, none failed" in result.stdout
    assert "$0.40" in result.stdout
    assert "200 in, 100 out" in result.stdout
    assert sorted(path.name for path in tmp_path.glob("out*")) == ["out.jsonl", "out.jsonl.journal"]
    assert server.answers == 20


async def test_bad_lines_are_told_and_the_rest_is_answered(batch, source: Path, tmp_path) -> None:
    """On standard error with file and line, in the output as errors, by the exit code."""
    bad = [
        "{no json\n",
        "\n",
        line(3),
        line(40, url="/v1/images"),
        line(41, hybridllm={"tsk": "x"}),
    ]
    source.write_text(
        "".join([*map(line, range(5)), *bad, line(42, hybridllm={"residency": "us"})])
    )
    result = await batch()

    assert result.exit_code == 1
    for words in (
        f"{source}:6: the line is not JSON",
        f"{source}:8: custom_id 'id-3' stands on a line above already",
        f"{source}:9: url: '/v1/images' is not one of /v1/chat/completions, /v1/embeddings",
        f"{source}:10: hybridllm: unknown hint 'tsk'; did you mean 'task'?",
        f"{source}:11: residency tag 'us'",
    ):
        assert words in result.stderr
    assert "10 lines: 5 answered, 5 failed (4 could not be sent)" in result.stdout
    codes = [(one["error"] or {}).get("code") for one in output(tmp_path)]
    assert codes == [None] * 5 + [
        "invalid_json_line", "duplicate_custom_id", "invalid_url", "invalid_hint", "policy_denied",
    ]  # fmt: skip
    assert [one["hybridllm"]["line"] for one in output(tmp_path)] == [
        1,
        2,
        3,
        4,
        5,
        6,
        8,
        9,
        10,
        11,
    ]

    source.write_text(source.read_text().replace("/v1/images", "/v1/chat/completions"))
    again = await batch("--resume")
    assert "10 lines: 6 answered, 4 failed" in again.stdout
    assert "5 answers, not paid for again" in again.stdout


async def test_many_bad_lines_do_not_fill_the_screen(batch, source: Path) -> None:
    """The first ten are told; all of them are in the output."""
    source.write_text("{\n" * 1_000)
    result = await batch()

    assert result.exit_code == 1
    assert result.stderr.count("not JSON") == 10
    assert "more lines have no answer" in result.stderr
    assert "1,000 lines: 0 answered, 1,000 failed (1,000 could not be sent)" in result.stdout


async def test_json_is_one_object(batch, tmp_path: Path) -> None:
    """For scripts; money is a text."""
    result = await batch("--json", "--tenant", "acme", "--concurrency", 4)

    assert result.exit_code == 0
    told = json.loads(result.stdout)
    assert told.pop("elapsed_s") > 0
    assert float(told.pop("cost_usd")) == pytest.approx(20 * COST_EACH_USD)
    assert told == {
        "ok": True, "complete": True, "lines": 20, "answered": 20, "failed": 0, "invalid": 0, "resumed": 0,
        "unknown_paid": 0, "cost_complete": True, "tokens_in": 200, "tokens_out": 100,
        "output": str(tmp_path / "out.jsonl"), "journal": str(tmp_path / "out.jsonl.journal"),
    }  # fmt: skip
    assert result.stderr == ""


async def test_what_is_there_is_not_overwritten(batch, tmp_path: Path, server) -> None:
    """Nor paid for again unasked; the way on is told."""
    await batch()
    result = await batch()
    assert result.exit_code == 2
    assert "is there already. --resume goes on" in result.stderr
    done = await batch("--resume", "--json")
    assert done.exit_code == 0
    assert json.loads(done.stdout)["resumed"] == 20
    (tmp_path / "out.jsonl.journal").unlink()
    for options in ((), ("--resume",)):
        result = await batch(*options)
        assert result.exit_code == 2
        assert "out.jsonl" in result.stderr
    assert len(output(tmp_path)) == server.answers == 20


async def test_a_batch_with_another_input_is_refused(batch, source: Path, tmp_path, server) -> None:
    """Its journal knows other requests."""
    await batch()
    before = (tmp_path / "out.jsonl").read_bytes()
    source.write_text("".join(map(line, range(1, 21))))
    result = await batch("--resume")

    assert result.exit_code == 2
    assert "the journal is of another input: item 0 ('id-1')" in result.stderr
    assert (tmp_path / "out.jsonl").read_bytes() == before
    assert server.answers == 20


@pytest.mark.parametrize("name", ["nowhere.jsonl", "."])
async def test_an_input_that_cannot_be_read_is_wrong_usage(
    hybridllm, policy: Path, tmp_path: Path, name: str
) -> None:
    """Nothing is made."""
    there = sorted(tmp_path.iterdir())
    files = (tmp_path / name, tmp_path / "out.jsonl", "--policy", policy)
    result = await asyncio.to_thread(hybridllm, "batch", *files)

    assert result.exit_code == 2
    assert "cannot be read" in result.stderr
    assert sorted(tmp_path.iterdir()) == there


async def test_input_and_output_are_two_files(hybridllm, policy: Path, source: Path) -> None:
    """However they are spelt."""
    before = source.read_bytes()
    other = source.parent / "x" / ".." / source.name
    result = await asyncio.to_thread(hybridllm, "batch", source, other, "--policy", policy)

    assert result.exit_code == 2
    assert "must be three files" in result.stderr
    assert source.read_bytes() == before


async def begun(
    *files: object, at: int, server: PayingServer, then_s: float | None = None
) -> asyncio.subprocess.Process:
    """A batch in a process of its own, once it has asked so often; from then on answers take `then_s`."""
    reached = asyncio.Event()

    def on_asked(asked: int) -> None:
        if asked >= at:
            reached.set()
            server.delay_s = server.delay_s if then_s is None else then_s

    server.on_asked = on_asked
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "hybridllm", "batch", *map(str, files), "--concurrency", "4"),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    async with asyncio.timeout(60):
        await reached.wait()
    return process


@pytest.mark.parametrize("times", [1, 2])
async def test_ctrl_c_stops_in_good_order_and_says_how_to_go_on(
    policy: Path, source: Path, tmp_path: Path, server: PayingServer, batch, times: int
) -> None:
    """One waits for what is under way, and nothing is unknown afterwards; two wait for nothing."""
    source.write_text("".join(map(line, range(400))))
    server.delay_s = 0.05
    files = (source, tmp_path / "out.jsonl", "--policy", policy)
    process = await begun(*files, at=8, server=server, then_s=0.05 if times == 1 else 30.0)
    for _ in range(times):
        process.send_signal(signal.SIGINT)
        await asyncio.sleep(0.3)
    async with asyncio.timeout(60):
        told, errors = (text.decode() for text in await process.communicate())

    assert process.returncode == 130, errors
    assert "stopping: waiting for" in errors
    assert "Traceback" not in errors
    assert f"batch {source} {tmp_path}/out.jsonl" in told + errors
    assert "--concurrency 4 --resume" in told + errors
    assert not (tmp_path / "out.jsonl").exists()
    server.delay_s, server.on_asked, asked = 0.0, None, server.answers
    result = await batch("--resume", "--json")
    assert result.exit_code == 0
    summary = json.loads(result.stdout)
    assert (summary["answered"], summary["resumed"] > 0) == (400, True)
    assert len(output(tmp_path)) == 400
    if times == 1:
        assert summary["unknown_paid"] == 0
        assert summary["resumed"] == asked
        assert set(server.paid.values()) == {1}


async def test_a_killed_batch_is_made_whole(
    policy: Path, source: Path, tmp_path: Path, server: PayingServer, batch
) -> None:
    """The output takes its place when it is complete; the part of it is made anew, whatever it ends with."""
    source.write_text("".join(map(line, range(400))))
    server.delay_s = 0.01
    files = (source, tmp_path / "out.jsonl", "--policy", policy)
    process = await begun(*files, at=150, server=server)
    process.kill()
    await process.communicate()
    assert not (tmp_path / "out.jsonl").exists()
    assert (tmp_path / "out.jsonl.part").exists()
    with (tmp_path / "out.jsonl.part").open("a") as part:
        part.write('{"id": "batch_req_')  # torn

    server.delay_s = 0.0
    result = await batch("--resume", "--json")
    assert result.exit_code == 0
    assert [one["custom_id"] for one in output(tmp_path)] == [f"id-{n}" for n in range(400)]
    assert not (tmp_path / "out.jsonl.part").exists()
    twice = {f"id-{item}" for item, times in server.paid.items() if times > 1}
    unknown = {o["custom_id"] for o in output(tmp_path) if o["hybridllm"].get("unknown_paid")}
    assert twice <= unknown
    assert len(unknown) <= 4


async def test_in_a_terminal_a_bar_is_drawn_over_itself(
    policy: Path, source: Path, tmp_path: Path, server: PayingServer
) -> None:
    """It fits the terminal; the summary stays below the last one."""
    source.write_text("".join(map(line, range(300))) + "{\n")
    server.delay_s = 0.1
    args = ("batch", source, tmp_path / "out.jsonl", "--policy", policy, "--concurrency", 16)
    code, told = await asyncio.to_thread(run_in_terminal, *args, columns=60)

    assert code == 1, told
    assert "█" in told
    assert "301 of 301" in told
    assert "not JSON" in told
    drawn = told.partition("301 lines:")[0]
    lines = re.split(r"[\r\n]|\x1b\[\d[AK]", drawn)
    bars = [re.sub(r"\x1b\[[\d;?]*[a-z]", "", text) for text in lines if "█" in text]
    assert len(bars) > 3
    assert max(map(len, bars)) <= 60
