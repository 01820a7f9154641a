"""`BatchJob` over real sockets: whole files in and out, with everything that a file may be."""

from __future__ import annotations

import json
import os
import threading
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from hybridllm import BatchJob, BatchSummary, BulkFileError, InvalidRequest
from hybridllm._adapters.file_lock import locked
from hybridllm._core.bulk.batch_input import LINE_BYTES_MAX
from hybridllm.testing import Fault
from runtime.world import World, world


@pytest.fixture
async def here() -> AsyncIterator[World]:
    """Two simulated backends; `eu` is asked first."""
    async with world("eu", "us") as here:
        yield here


def chat(number: int, **more: Any) -> bytes:
    body = {"messages": [{"role": "user", "content": f"item {number}"}], "max_tokens": 4}
    said = {"custom_id": f"id-{number}", "url": "/v1/chat/completions", "body": body}
    return json.dumps(said | more).encode() + b"\n"


async def run(
    here: World, folder: Path, content: bytes, **options: Any
) -> tuple[BatchSummary, list[dict[str, Any]]]:
    source, target = folder / "in.jsonl", folder / "out.jsonl"
    source.write_bytes(content)
    summary = await BatchJob(here.router, source, target, **options).run()
    return summary, [json.loads(line) for line in target.read_bytes().splitlines()]


async def test_a_file_is_answered_through_faults(here: World, tmp_path: Path) -> None:
    """A backend that breaks now and then is failed over from, as for any request."""
    here["eu"].fault = Fault.status(503, probability=0.3)
    summary, told = await run(here, tmp_path, b"".join(map(chat, range(100))))

    assert summary.complete
    assert (summary.progress.done, summary.progress.failed) == (100, 0)
    assert [one["custom_id"] for one in told] == [f"id-{n}" for n in range(100)]
    assert {one["hybridllm"]["backend"] for one in told} == {"eu", "us"}
    assert all(one["response"]["status_code"] == 200 for one in told)


async def test_embeddings_are_a_batch_too(here: World, tmp_path: Path) -> None:
    """The first line decides; a chat among them is refused."""
    said = {"custom_id": "e", "url": "/v1/embeddings", "body": {"input": "hello", "model": "m"}}
    summary, told = await run(here, tmp_path, json.dumps(said).encode() + b"\n" + chat(1))

    assert summary.invalid == 1
    vector = told[0]["response"]["body"]["data"][0]["embedding"]
    assert len(vector) == here["eu"].dimensions
    assert told[1]["error"]["code"] == "mismatched_url"
    again, same = await run(here, tmp_path, json.dumps(said).encode() + b"\n", resume=True)
    assert (again.progress.resumed, same) == (1, told[:1])


@pytest.mark.parametrize(
    ("content", "lines"),
    [
        pytest.param(b"", [], id="empty"),
        pytest.param(b"\n  \n\r\n", [], id="blank"),
        pytest.param(b"\xef\xbb\xbf" + chat(0) + chat(1), [1, 2], id="with-a-byte-order-mark"),
        pytest.param(chat(0).replace(b"\n", b"\r\n") + chat(1), [1, 2], id="windows"),
        pytest.param(b"\n" + chat(0) + b"\n\n" + chat(1)[:-1], [2, 5], id="no-last-newline"),
        pytest.param(chat(0)[:-1] + b" " * 300_000 + b"\n" + chat(1), [1, 2], id="a-long-line"),
    ],
)
async def test_a_file_may_be_written_in_many_ways(
    here: World, tmp_path: Path, content: bytes, lines: list[int]
) -> None:
    """Every line that holds something is one, under its own number."""
    summary, told = await run(here, tmp_path, content)

    assert summary.complete
    assert summary.progress.total == summary.progress.done == len(lines)
    assert [one["hybridllm"]["line"] for one in told] == lines


async def test_a_line_that_is_too_large_costs_no_memory_and_no_other_line(
    here: World, tmp_path: Path
) -> None:
    """It is read over."""
    large = chat(1)[:-1] + b" " * LINE_BYTES_MAX + b"\n"
    summary, told = await run(here, tmp_path, chat(0) + large + chat(2))

    assert (summary.progress.done, summary.invalid, summary.progress.total) == (2, 1, 3)
    assert told[1]["error"]["code"] == "line_too_large"
    assert told[2]["hybridllm"]["line"] == 3


async def test_the_input_may_be_a_pipe(here: World, tmp_path: Path) -> None:
    """How many lines it has is not known, and it is read in a thread: the loop does not wait for it."""
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)

    def write() -> None:
        with pipe.open("wb") as file:
            file.write(b"".join(map(chat, range(30))))

    writer = threading.Thread(target=write)
    writer.start()
    job = BatchJob(here.router, pipe, tmp_path / "out.jsonl")
    summary = await job.run()
    writer.join()
    assert (summary.progress.total, summary.progress.done) == (None, 30)
    assert job.progress.done == 30


async def test_options_hold_for_lines_that_say_nothing(here: World, tmp_path: Path) -> None:
    """What a line says goes before; what is wrong with an option is told before anything is read."""
    problems: list[str] = []
    content = chat(0) + chat(1, hybridllm={"task": "nobody-knows"})
    summary, _ = await run(
        here, tmp_path, content, hints={"task": "t", "model": "m"}, on_problem=problems.append
    )
    assert (summary.progress.done, summary.progress.failed, summary.invalid) == (1, 1, 0)
    assert problems[0].startswith(f"{tmp_path}/in.jsonl:2: ")
    with pytest.raises(InvalidRequest, match="priority: 'soon' is not one of"):
        await run(here, tmp_path, content, hints={"priority": "soon"})


async def test_an_output_that_cannot_be_written_is_told(here: World, tmp_path: Path) -> None:
    """Before anything is sent."""
    source = tmp_path / "in.jsonl"
    source.write_bytes(chat(0))
    (tmp_path / "out.jsonl.part").mkdir()
    with pytest.raises(BulkFileError, match=r"out\.jsonl\.part: cannot be written"):
        await BatchJob(here.router, source, tmp_path / "out.jsonl").run()
    assert here["eu"].requests == []


async def test_two_jobs_with_one_output_and_a_journal_each_are_one_too_many(
    here: World, tmp_path: Path
) -> None:
    """The second is refused before it sends, and what the first has written stays."""
    (tmp_path / "in.jsonl").write_bytes(chat(0))
    part = tmp_path / "out.jsonl.part"
    with part.open("ab") as file:
        assert locked(file.fileno())
        job = BatchJob(
            here.router, tmp_path / "in.jsonl", tmp_path / "out.jsonl", journal=tmp_path / "j"
        )
        with pytest.raises(BulkFileError, match="another process is writing this output"):
            await job.run()
    assert here["eu"].requests == []
    assert (await job.run()).complete


@pytest.mark.parametrize("resume", [False, True])
async def test_a_part_without_its_journal_is_not_written_over(
    here: World, tmp_path: Path, resume: bool
) -> None:
    """It may hold the only answers that there are; an empty one holds none."""
    part = tmp_path / "out.jsonl.part"
    part.write_bytes(b"answers\n")
    with pytest.raises(BulkFileError, match=r"out\.jsonl\.part: is there"):
        await run(here, tmp_path, chat(0), resume=resume)
    assert part.read_bytes() == b"answers\n"
    part.write_bytes(b"")
    summary, _ = await run(here, tmp_path, chat(0), resume=resume)
    assert summary.complete


async def test_a_job_that_is_stopped_before_it_began_sends_nothing(
    here: World, tmp_path: Path
) -> None:
    """And is not complete."""
    (tmp_path / "in.jsonl").write_bytes(chat(0))
    job = BatchJob(here.router, tmp_path / "in.jsonl", tmp_path / "out.jsonl")
    job.stop()
    summary = await job.run()
    assert not summary.complete
    assert summary.output.name == "out.jsonl.part"
    assert here["eu"].requests == []
