"""A job with a journal: what an earlier run was answered is not asked for again."""

from __future__ import annotations

import asyncio
import stat
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from bulk.jobs import all_of, backend, in_a_second, request, requests, said
from hybridllm import (
    BulkFileError,
    BulkJob,
    BulkResult,
    InvalidRequest,
    OutcomeUnknown,
    RouteExhausted,
    Router,
)
from hybridllm._core.bulk.journal_lines import header_line, sent_line
from hybridllm.testing import Reply, run_in_virtual_time

SECRET = "the prompt of item"


def items(count: int) -> Iterator[tuple[str, dict[str, Any]]]:
    return ((f"key-{n}", request(n)) for n in range(count))


async def some_of(job: BulkJob, count: int) -> list[BulkResult]:
    """The first results; then, while the next ones are under way, the job is closed."""
    async with job:
        results = [await anext(job) for _ in range(count)]
        await asyncio.sleep(0.5)
        return results


def test_a_second_run_goes_on_where_the_first_one_ended(tmp_path: Path) -> None:
    """Answers of the first are handed out again, marked, with what they cost; the rest is asked for."""

    async def main() -> None:
        async with backend() as here:
            first = await some_of(here.router.map(items(60), journal=tmp_path / "j"), 32)
            asked = len(here.wire.requests)
            job = here.router.map(items(60), journal=tmp_path / "j")
            second = await all_of(job)
            assert [said(result) for result in second] == [f"answer {n}" for n in range(60)]
            assert [result.key for result in second] == [f"key-{n}" for n in range(60)]
            for before, after in zip(first, second, strict=False):
                assert after.resumed
                assert (after.receipt, after.tries) == (None, 0)
                assert after.paid == before.paid
                assert after.answer.to_json() == before.answer.to_json()
            unknown = [result for result in second if result.unknown_paid]
            assert len(unknown) == asked - 32
            assert not any(result.resumed for result in unknown)
            progress = job.progress
            assert progress.resumed == 32
            assert progress.unknown_paid == len(unknown)
            assert progress.cost_usd == 60 * Decimal("0.00002")
            assert progress.cost_complete is False  # the unknown ones may have been paid for twice

    run_in_virtual_time(main)


def test_a_job_that_is_done_asks_nobody(tmp_path: Path) -> None:
    """However often it is run; also where more is appended to its input."""

    async def main() -> None:
        async with backend() as here:
            await all_of(here.router.map(requests(20), journal=tmp_path / "j"))
            for _ in range(3):
                job = here.router.map(requests(20), journal=tmp_path / "j")
                assert all(result.resumed for result in await all_of(job))
                assert job.progress.cost_complete
            assert len(here.wire.requests) == 20
            await all_of(here.router.map(requests(25), journal=tmp_path / "j"))
            assert len(here.wire.requests) == 25

    run_in_virtual_time(main)


def test_what_failed_is_tried_again_and_its_cost_is_not_forgotten(tmp_path: Path) -> None:
    """Even if its request was corrected meanwhile."""
    healed = False

    def answer(number: int) -> Reply:
        if number % 2 and not healed:
            return Reply.chat(None, finish_reason=None).after(1)  # billed, and no answer
        return in_a_second(number)

    async def main() -> None:
        nonlocal healed
        async with backend(answer) as here:
            first = await all_of(here.router.map(requests(10), journal=tmp_path / "j"))
            assert sum(isinstance(result.error, RouteExhausted) for result in first) == 5
            healed = True
            again = [request(n) if n % 2 == 0 else request(n, temperature=0.5) for n in range(10)]
            job = here.router.map(again, journal=tmp_path / "j")
            second = await all_of(job)
            assert all(result.ok for result in second)
            assert [result.resumed for result in second] == [True, False] * 5
            assert len(here.wire.requests) == 15
            paid = sum((r.paid.cost_usd or Decimal(0) for r in (*first, *second[1::2])), Decimal(0))
            assert job.progress.cost_usd == paid

    run_in_virtual_time(main)


def killed(path: Path, *, sent: int) -> None:
    """The journal of a run that was killed when so many items had just been sent."""
    from hybridllm._core.bulk.fingerprint import fingerprint
    from hybridllm._core.request.facts import Hints
    from hybridllm._core.request.read import read_chat

    digests = [fingerprint(read_chat(request(n), Hints())) for n in range(sent)]
    lines = [sent_line(n, digest) for n, digest in enumerate(digests)]
    path.write_bytes(b"".join([header_line("chat"), *lines]))


@pytest.mark.parametrize("unknown", ["retry", "skip"])
def test_an_item_that_was_sent_without_an_ending_is_unknown(unknown: Any, tmp_path: Path) -> None:
    """Asked for again and marked, or left alone and marked: as the caller says."""
    killed(tmp_path / "j", sent=5)

    async def main() -> None:
        async with backend() as here:
            job = here.router.map(requests(8), journal=tmp_path / "j", unknown=unknown)
            results = await all_of(job)
            assert [result.unknown_paid for result in results] == [True] * 5 + [False] * 3
            assert job.progress.unknown_paid == 5
            assert not job.progress.cost_complete
            left = [result for result in results if isinstance(result.error, OutcomeUnknown)]
            assert len(left) == (0 if unknown == "retry" else 5)
            assert len(here.wire.requests) == 8 - len(left)
            # whoever was asked again and answered stays marked, in every later run
            job = here.router.map(requests(8), journal=tmp_path / "j", unknown=unknown)
            assert [result.unknown_paid for result in await all_of(job)] == [True] * 5 + [False] * 3
            assert len(here.wire.requests) == 8 - len(left)

    run_in_virtual_time(main)


@pytest.mark.parametrize("cut", [1, 2, 20, 60])
def test_a_last_line_that_was_cut_off_is_forgotten(cut: int, tmp_path: Path) -> None:
    """It was being written when the process died; its item is asked for again."""
    path = tmp_path / "j"

    async def main() -> None:
        async with backend() as here:
            await all_of(here.router.map(requests(5), journal=path, concurrency=1))
            path.write_bytes(path.read_bytes()[:-cut])
            results = await all_of(here.router.map(requests(5), journal=path))
            assert [result.resumed for result in results] == [True] * 4 + [False]
            assert results[4].unknown_paid
            assert len(here.wire.requests) == 6
            await all_of(here.router.map(requests(5), journal=path))
            assert len(here.wire.requests) == 6

    run_in_virtual_time(main)


def zeroed(lines: list[bytes]) -> None:
    lines[4] = bytes(len(lines[4]) - 1) + b"\n"


def flipped(lines: list[bytes]) -> None:
    lines[4] = lines[4].replace(b"sent", b"Sent", 1).replace(b"done", b"dome", 1)


def lost(lines: list[bytes]) -> None:
    del lines[1]


def doubled(lines: list[bytes]) -> None:
    lines.append(lines[-1])


def foreign(lines: list[bytes]) -> None:
    lines[0] = b'{"some": "other file"}\n'


def another(lines: list[bytes]) -> None:
    lines[0] = header_line("embeddings")


def newer(lines: list[bytes]) -> None:
    lines[0] = header_line("chat").replace(b'"version":1', b'"version":2')


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        pytest.param(zeroed, "j:5: the line does not end as", id="zeroed"),
        pytest.param(flipped, "j:5: the line does not agree with its checksum", id="flipped"),
        pytest.param(lost, "j:2: item 0 has an answer, and was never sent", id="a-line-lost"),
        pytest.param(doubled, "j:12: item 4 has an answer already", id="a-line-twice"),
        pytest.param(foreign, "j:1: this is not a journal", id="another-file"),
        pytest.param(another, "is of embeddings, this job is of chat", id="another-operation"),
        pytest.param(newer, "j:1: the line does not agree", id="another-version"),
    ],
)
def test_any_other_damage_is_told_with_its_line(damage: Any, words: str, tmp_path: Path) -> None:
    """Nothing is sent, and the file stays as it is."""
    path = tmp_path / "j"

    async def main() -> None:
        async with backend() as here:
            await all_of(here.router.map(requests(5), journal=path, concurrency=1))
            lines = path.read_bytes().splitlines(keepends=True)
            damage(lines)
            path.write_bytes(b"".join(lines))
            with pytest.raises(BulkFileError, match=words) as caught:
                await all_of(here.router.map(requests(5), journal=path))
            assert caught.value.path == str(path)
            assert path.read_bytes() == b"".join(lines)
            assert len(here.wire.requests) == 5

    run_in_virtual_time(main)


@pytest.mark.parametrize(
    "content", [b"not a journal", b'{"journal":"x"', b"\x00\x00", b"question,answer\n1,2\n"]
)
def test_a_file_that_is_no_journal_is_left_alone(content: bytes, tmp_path: Path) -> None:
    """Whoever mistypes a name loses nothing."""
    (tmp_path / "j").write_bytes(content)

    async def main() -> None:
        async with backend() as here:
            with pytest.raises(BulkFileError, match="not a journal"):
                await all_of(here.router.map(requests(5), journal=tmp_path / "j"))
        assert (tmp_path / "j").read_bytes() == content

    run_in_virtual_time(main)


@pytest.mark.parametrize("length", [0, 1, 30, len(header_line("chat")) - 1])
def test_a_journal_that_was_just_begun_is_begun_again(length: int, tmp_path: Path) -> None:
    """Killed between making the file and its first line."""
    (tmp_path / "j").write_bytes(header_line("chat")[:length])

    async def main() -> None:
        async with backend() as here:
            assert all(
                r.ok for r in await all_of(here.router.map(requests(5), journal=tmp_path / "j"))
            )

    run_in_virtual_time(main)
    assert (tmp_path / "j").read_bytes().startswith(header_line("chat"))


@pytest.mark.parametrize(
    "other",
    [
        pytest.param(lambda n: request(n + 1), id="shifted"),
        pytest.param(lambda n: request(n, temperature=1), id="a-parameter"),
        pytest.param(lambda n: request(n, tenant="acme"), id="a-hint"),
        pytest.param(lambda n: request(n, model="m"), id="a-model"),
        pytest.param(lambda _: ValueError("line 1 is wrong"), id="wrong-now"),
    ],
)
def test_a_journal_of_another_input_is_refused(other: Any, tmp_path: Path) -> None:
    """Or the answers of one would be taken for those of the other. Nothing is sent."""

    async def main() -> None:
        async with backend() as here:
            await all_of(here.router.map(requests(5), journal=tmp_path / "j"))
            job = here.router.map((("k", other(n)) for n in range(5)), journal=tmp_path / "j")
            with pytest.raises(BulkFileError, match=r"another input: item 0 \('k'\)"):
                await all_of(job)
            assert len(here.wire.requests) == 5

    run_in_virtual_time(main)


@pytest.mark.parametrize(
    "more", [{"deadline_s": 5}, {"priority": "background"}, {"max_cost_usd": 1}]
)
def test_how_soon_and_how_dear_may_change(more: dict[str, Any], tmp_path: Path) -> None:
    """It is the same question, and the same answer."""

    async def main() -> None:
        async with backend() as here:
            await all_of(here.router.map(requests(5), journal=tmp_path / "j"))
            turned = ({**more, **dict(reversed(request(n).items()))} for n in range(5))
            results = await all_of(here.router.map(turned, journal=tmp_path / "j"))
            assert all(result.resumed for result in results)

    run_in_virtual_time(main)


def test_two_jobs_on_one_journal_are_told_apart(tmp_path: Path) -> None:
    """The second is refused while the first is at work, and welcome after."""

    async def main() -> None:
        async with backend() as here:
            first = here.router.map(requests(20), journal=tmp_path / "j", concurrency=1)
            async with first as job:
                await anext(job)
                with pytest.raises(BulkFileError, match="another process is at work"):
                    await all_of(here.router.map(requests(20), journal=tmp_path / "j"))
                assert len([result async for result in job]) == 19
            await all_of(here.router.map(requests(20), journal=tmp_path / "j"))
            assert len(here.wire.requests) == 20

    run_in_virtual_time(main)


def test_a_journal_keeps_answers_and_neither_prompts_nor_keys_nor_errors(tmp_path: Path) -> None:
    """Readable by its owner only."""

    def answer(number: int) -> Reply:
        return in_a_second(number) if number else Reply.status(400, {"error": {"message": SECRET}})

    async def main() -> None:
        async with backend(answer) as here:
            prompts = [
                {"messages": [{"role": "system", "content": SECRET}, *request(n)["messages"]]}
                for n in range(1, 3)
            ]
            wrong = {"messages": [], SECRET: 1}
            here.wire.script("eu.test", lambda sent: answer(len(sent.json["messages"]) - 1))
            await all_of(here.router.map([request(0), *prompts, wrong], journal=tmp_path / "j"))

    run_in_virtual_time(main)
    text = (tmp_path / "j").read_text(encoding="utf-8")
    assert "answer 1" in text
    assert SECRET not in text
    assert "item" not in text
    assert "sk-test" not in text
    assert stat.S_IMODE((tmp_path / "j").stat().st_mode) == 0o600


def test_a_generator_among_the_messages_is_read_once(tmp_path: Path) -> None:
    """The digest is of what is sent, not of the caller's objects."""

    def odd(n: int) -> dict[str, Any]:
        return {"messages": iter(request(n)["messages"]), "tags": {"b", "a"}}

    async def main() -> None:
        async with backend() as here:
            for expected in (False, True):
                job = here.router.map((odd(n) for n in range(3)), journal=tmp_path / "j")
                results = await all_of(job)
                assert [said(result) for result in results] == ["answer 0", "answer 1", "answer 2"]
                assert all(result.resumed is expected for result in results)
            job = here.router.map([{"messages": [{"role": "user", "content": object}]}])
            assert isinstance((await all_of(job))[0].error, InvalidRequest)

    run_in_virtual_time(main)


def test_the_router_may_be_another_one(tmp_path: Path) -> None:
    """A journal belongs to its input, not to a router or a policy."""

    async def main() -> None:
        for _ in range(2):
            async with backend() as here:
                assert isinstance(here.router, Router)
                results = await all_of(here.router.map(requests(3), journal=str(tmp_path / "j")))
        assert all(result.resumed for result in results)

    run_in_virtual_time(main)
