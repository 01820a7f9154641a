"""S15 of the fault catalogue, on real sockets: streams that are restarted or continued.

Exactly one event for each break; text is never doubled, never lost, and never called whole if it is not.
"""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hybridllm import Continued, Restarted, StreamInterrupted
from hybridllm._core.receipt import RequestOutcome
from hybridllm.testing import Cut, Fault, tokenize
from raw_server import until
from runtime.seams import read
from runtime.world import World, world

ANSWER = "one two  six\n\nten and\tall of it \n done"
TOKENS = len(tokenize(ANSWER))
TIMEOUTS = "first_token: 2s, idle: 300ms, total: 20s"
CUTS = [how for how in Cut.__args__ if how not in ("stall", "pings")]  # type: ignore[attr-defined]
WAYS = {"restart": Restarted, "continue": Continued}


def seam_world(*names: str, **options: Any) -> Any:
    """A router over simulated vLLM servers that all take a prefill."""
    backends = {"kind": "vllm", "answer": ANSWER} | options
    return world(*names, backends=backends, each="prefill: true", timeouts=TIMEOUTS)


def check_whole(here: World, found: Any, way: str, cut: int) -> None:
    """The text is the answer, once; one event; nothing of it went to a third backend."""
    assert (found.error, found.text, found.whole, found.ended) == (None, ANSWER, True, "stop")
    (seam,) = found.seams
    before = "".join(tokenize(ANSWER)[:cut])
    assert type(seam) is WAYS[way]
    assert seam.backend == "us"
    kept = seam.discarded_text if isinstance(seam, Restarted) else seam.kept_text
    assert kept == before
    bodies = [here[name].requests[-1].json for name in ("eu", "us")]
    if way == "restart":
        assert bodies[0] == bodies[1]
    else:
        said = {"role": "assistant", "content": before.rstrip()}
        assert bodies[1]["messages"] == [*bodies[0]["messages"], said]


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("how", CUTS)
async def test_s15_a_stream_that_breaks_is_restarted_or_continued(how: Any, way: str) -> None:
    """Whichever way it breaks, at its first token, in its middle, and before its finish_reason."""
    async with seam_world("eu", "us") as here:
        for cut in (1, 4, TOKENS):
            here["eu"].fault = Fault.cut_after(cut, how)
            stream = await here.stream(on_interrupt=way)
            check_whole(here, await read(stream), way, cut)
            assert [a.backend for a in stream.receipt.attempts] == ["eu", "us"]
            assert stream.receipt.outcome is RequestOutcome.OK


@pytest.mark.parametrize("way", WAYS)
async def test_s15_a_stream_that_stalls_is_restarted_or_continued(way: str) -> None:
    """At the limit for silence; comments are silence."""
    async with seam_world("eu", "us") as here:
        for how in ("stall", "pings"):
            here["eu"].fault = Fault.cut_after(3, how)
            stream = await here.stream(on_interrupt=way)
            check_whole(here, await read(stream), way, 3)
            assert stream.receipt.attempts[0].error == "idle_timeout"


@pytest.mark.parametrize("way", WAYS)
async def test_s15_a_server_that_dies_under_many_streams_doubles_and_loses_nothing(
    way: str,
) -> None:
    """Twenty readers, one kill: every one ends with the whole text, and the dead server's slots are back."""
    text = ANSWER * 20
    async with seam_world("eu", "us", answer=text) as here:
        here["eu"].tokens_per_s = 20.0  # so that none has ended when it dies
        streams = [await here.stream(on_interrupt=way) for _ in range(20)]
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(read(stream)) for stream in streams]
            await asyncio.sleep(0.2)
            there = [stream.backend == "eu" for stream in streams]
            here["eu"].kill()
        assert there.count(True) > 10  # a busy machine may have sent some elsewhere before
        for task, was_there in zip(tasks, there, strict=True):
            found = task.result()
            assert (found.error, found.text, found.whole) == (None, text, True)
            assert [type(seam) for seam in found.seams] == ([WAYS[way]] if was_there else [])
        await here.idle()


async def test_s15_a_backend_that_does_not_declare_it_is_never_asked_to_continue() -> None:
    """Hosted APIs refuse the fields, or say the text again: then the stream fails, and is not restarted."""
    async with world("eu", "us", timeouts=TIMEOUTS) as here:
        for backend in here.backends.values():
            backend.answer = ANSWER
        here["eu"].fault = Fault.cut_after(3)
        found = await read(await here.stream(on_interrupt="continue"))
        assert isinstance(found.error, StreamInterrupted)
        assert (found.text, found.error.partial_text) == ("one two  six", "one two  six")
        assert (found.error.resumable, found.seams, here["us"].requests) == (False, [], [])


async def test_s15_a_backend_that_declares_it_wrongly_costs_the_reader_nothing() -> None:
    """It refuses the request for the rest: the error has the text, and both attempts are on the receipt."""
    async with seam_world("eu", "us", kind="api") as here:
        here["eu"].fault = Fault.cut_after(3)
        stream = await here.stream(on_interrupt="continue")
        found = await read(stream)
        assert isinstance(found.error, StreamInterrupted)
        assert (found.text, found.error.cause) == ("one two  six", "reset")
        assert [a.error for a in stream.receipt.attempts] == ["reset", "400"]


@pytest.mark.parametrize("way", WAYS)
async def test_s15_a_reader_that_leaves_at_a_seam_stops_the_second_backend_too(way: str) -> None:
    """Within 100 ms of its cancellation no request is under way anywhere."""
    async with seam_world("eu", "us") as here:
        here["eu"].fault = Fault.cut_after(3)
        here["us"].fault = Fault.hang()
        stream = await here.stream(on_interrupt=way)
        task = asyncio.get_running_loop().create_task(_read(stream))
        await until(lambda: here["us"].active == 1)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert here.in_flight == 0
        await until(lambda: here.active == 0, within_s=2.0)
        assert stream.receipt.outcome is RequestOutcome.CANCELLED


async def _read(stream: Any) -> Any:
    return await read(stream)


@settings(
    max_examples=25,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
    database=None,
)
@given(data=st.data(), way=st.sampled_from(sorted(WAYS)))
def test_s15_any_breaks_of_any_text_leave_the_one_whole_answer(
    data: st.DataObject, way: str
) -> None:
    """Random texts, cut at random places in random ways, up to three times, and trickling in pieces."""
    text = data.draw(st.text("ab \n.é世", min_size=1, max_size=30).filter(str.strip))
    tokens = len(tokenize(text))
    cuts = data.draw(st.lists(st.tuples(st.integers(1, tokens), st.sampled_from(CUTS)), max_size=3))

    async def main() -> None:
        names = ["eu", "us", "fra", "own"]
        async with seam_world(*names, answer=text) as here:
            for name, (cut, how) in zip(names, cuts, strict=False):
                here[name].fault = Fault.cut_after(cut, how)
            found = await read(await here.stream(on_interrupt=way, max_tokens=100))
            if found.error is None:
                assert (found.text, found.whole, found.ended) == (text, True, "stop")
            else:  # only white space had come: there is nothing to go on with
                assert isinstance(found.error, StreamInterrupted)
                assert way == "continue"
                assert not found.text.strip()
                assert text.startswith(found.text)

    asyncio.run(main())
