"""Rows that the fault catalogue has not, S16 to S24: dialects of streams, and streams that are two."""

from __future__ import annotations

import json
from typing import Any

import pytest

from faults.odd_answers import odd_table
from faults.recordings import Said
from faults.skipping import run_skipping
from hybridllm import Stream, StreamInterrupted
from odd_backend import DONE, HEL, LO, ROLE, STOP, event, piece, stream

SERVED = [("odd", None)]
USAGE = {"prompt_tokens": 9, "completion_tokens": 2, "total_tokens": 11}


def chunk_of(*choices: dict[str, Any], **fields: Any) -> bytes:
    head = {"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "m"}
    return event(json.dumps(head | {"choices": list(choices)} | fields).encode())


def said(
    content: str | None = None, *, index: int = 0, end: str | None = None, **delta: Any
) -> Any:
    return {"index": index, "delta": {"content": content} | delta, "finish_reason": end}


def tool(of: int, arguments: str, *, name: str | None = None, index: int = 0) -> dict[str, Any]:
    call: dict[str, Any] = {"index": of, "function": {"arguments": arguments}}
    if name is not None:
        call |= {"id": f"call-{of}", "type": "function"}
        call["function"]["name"] = name
    return said(index=index, tool_calls=[call])


async def all_said(begun: Stream) -> str:
    """Everything that was handed out, as one text to compare."""
    heard = Said()
    async for chunk in begun:
        heard.hear_object(chunk)
    return told(heard)


def told(heard: Said) -> str:
    return str(sorted(heard.texts.items())) + str(sorted(heard.ends.items()))


def hello(**ends: str) -> str:
    return told(Said({(0, "content"): "hello"}, {0: ends.get("end", "stop")}))


WHOLE = {
    "S16 two [DONE]": (ROLE, HEL, LO, STOP, DONE, DONE),
    "S16 [DONE] with blanks": (ROLE, HEL, LO, STOP, b"data: [DONE] \n\n"),
    "S16 [DONE] without an end": (ROLE, HEL, LO, STOP, b"data: [DONE]"),
    "S17 id and retry": (b"retry: 10\nid: 1\n" + ROLE, b"id: 2\n" + HEL, LO + b"id\n\n", STOP, DONE),
    "S17 a name of its own": (b"event: message\n" + ROLE, b"event: chunk\n" + HEL, LO, STOP, DONE),
    "S17 no space": tuple(one.replace(b"data: ", b"data:") for one in (ROLE, HEL, LO, STOP, DONE)),
    "S17 several lines": (ROLE, HEL.replace(b', "', b',\ndata: "'), LO, STOP, DONE),
    "S18 usage first": (chunk_of(usage=USAGE), ROLE, HEL, LO, STOP, DONE),
    "S18 usage before the end": (ROLE, HEL, LO, chunk_of(usage=USAGE), STOP, DONE),
    "S18 usage all along": (
        ROLE, chunk_of(said("hel"), usage=USAGE), chunk_of(said("lo"), usage=USAGE), STOP,
    ),
    "S18 an end that comes twice": (ROLE, HEL, LO, STOP, STOP, DONE),
    "S18 empty pieces behind it": (ROLE, HEL, LO, STOP, piece(content=""), chunk_of(), DONE),
    "S19 an end in every chunk": (
        piece(content="hel", finish="stop"), piece(content="lo", finish="stop"), DONE,
    ),
    "S19 an id for every chunk": tuple(
        one.replace(b'"id": "c"', b'"id": "c%d"' % number)
        for number, one in enumerate((ROLE, HEL, LO, STOP, DONE))
    ),
    "S19 a role in every chunk": tuple(
        chunk_of(said(text, role="assistant", end=end), id=text)
        for text, end in (("", None), ("hel", None), ("lo", None), ("", "stop"))
    ),
}  # fmt: skip


def test_s16_to_s19_dialects_are_read_alike() -> None:
    """Ends that come twice, fields of browsers, usage anywhere, a server that repeats itself: one text."""

    async def main() -> None:
        async with odd_table() as table:
            for name, pieces in WHOLE.items():
                seen = await table.told(stream(*pieces), stream=True, read=all_said)
                assert (seen.text, seen.history) == (hello(), SERVED), name

    run_skipping(main)


def test_s20_a_model_that_repeats_itself_is_not_corrected() -> None:
    """The same event twice is the same word twice; `[DONE]` and line ends in a text are text."""
    odd_words = [
        "ha",
        "ha",
        "ha",
        "[DONE]",
        "\n\ndata: [DONE]\n\n",
        "\r",
        "\u2028",
        "\x00",
        '"',
        "\\",
    ]

    async def main() -> None:
        async with odd_table() as table:
            words = [piece(content=word) for word in odd_words]
            seen = await table.told(stream(ROLE, *words, STOP, DONE), stream=True)
            assert (seen.text, seen.history) == ("".join(odd_words), SERVED)

    run_skipping(main)


TOOLS = [
    chunk_of(said(role="assistant")),
    chunk_of(tool(0, "", name="f")),
    chunk_of(tool(1, "", name="g")),
    chunk_of(tool(0, '{"a"')),
    chunk_of(tool(1, '{"b": 2}')),
    chunk_of(tool(0, ": 1}")),
    chunk_of(said(end="tool_calls")),
]


def test_s21_calls_and_choices_that_take_turns_are_kept_apart() -> None:
    """Two calls in one choice, two choices in one stream; each ends for itself."""
    calls = {
        (0, "tool 0 name"): "f", (0, "tool 0 arguments"): '{"a": 1}',
        (0, "tool 1 name"): "g", (0, "tool 1 arguments"): '{"b": 2}',
    }  # fmt: skip
    turns = [
        chunk_of(said("", role="assistant"), said("", role="assistant", index=1)),
        chunk_of(said("b", index=1)), chunk_of(said("a")), chunk_of(said("a", end="stop")),
        chunk_of(said("b", index=1)), chunk_of(said(index=1, end="length")),
    ]  # fmt: skip
    both = Said({(0, "content"): "aa", (1, "content"): "bb"}, {0: "stop", 1: "length"})

    async def main() -> None:
        async with odd_table() as table:
            seen = await table.told(stream(*TOOLS, DONE), stream=True, read=all_said)
            assert (seen.text, seen.history) == (told(Said(calls, {0: "tool_calls"})), SERVED)
            seen = await table.told(stream(*turns, DONE), stream=True, read=all_said, n=2)
            assert (seen.text, seen.history) == (told(both), SERVED)

    run_skipping(main)


def test_s22_thoughts_that_used_up_the_limit_are_an_answer() -> None:
    """No text at all, `length`: the caller has paid for it and sees it; nobody is asked again."""
    for name in ("reasoning", "reasoning_content"):
        thoughts = [
            ROLE,
            *(piece(**{name: word}) for word in ("Let", " me")),
            piece(finish="length"),
        ]
        expected = told(Said({(0, name): "Let me"}, {0: "length"}))

        async def main(thoughts: list[bytes] = thoughts, expected: str = expected) -> None:
            async with odd_table() as table:
                seen = await table.told(stream(*thoughts, DONE), stream=True, read=all_said)
                assert (seen.text, seen.history) == (expected, SERVED)

        run_skipping(main)


ANEW = [one.replace(b'"id": "c"', b'"id": "d"') for one in (ROLE, HEL, LO, STOP, DONE)]
GLUED = {
    "S23 begun anew": (ROLE, HEL, *ANEW),
    "S23 begun anew by an error": (ROLE, HEL, b": upstream failed, trying again\n\n", *ANEW),
    "S23 the same again behind its end": (ROLE, HEL, LO, STOP, *ANEW),
    "S23 with the same id": (ROLE, HEL, LO, STOP, ROLE, HEL, LO, STOP, DONE),
    "S23 text behind the end": (ROLE, HEL, STOP, LO, DONE),
    "S23 a call behind the end": (ROLE, HEL, STOP, chunk_of(tool(0, "{}", name="f")), DONE),
    "S24 a choice that never ends": (ROLE, HEL, chunk_of(said("x", index=7)), LO, STOP, DONE),
    "S24 a negative one": (ROLE, HEL, chunk_of(said("x", index=-1, end="stop")), LO, STOP, DONE),
    "S24 one without a number": (ROLE, HEL, event(b'{"choices": [{"delta": {"content": "x"}}]}'), STOP),
    "S24 a number beyond any": (ROLE, HEL, chunk_of(said("x", index=10**9)), LO, STOP, DONE),
    "S24 the end of an end": (ROLE, HEL, STOP, piece(finish="abort"), DONE),
}  # fmt: skip


def test_s23_and_s24_two_answers_in_one_stream_are_none() -> None:
    """A proxy that tries again and glues: interrupted where the second begins, and no text comes twice."""

    async def main() -> None:
        async with odd_table() as table:
            for name, pieces in GLUED.items():
                heard: list[str] = []

                async def read(begun: Stream, heard: list[str] = heard) -> str:
                    with pytest.raises(StreamInterrupted) as caught:
                        await hear_texts(begun, heard)
                    assert caught.value.partial_text == "".join(heard)
                    return "".join(heard)

                seen = await table.told(stream(*pieces), stream=True, read=read)
                assert seen.text is not None
                assert "hello".startswith(seen.text), name
                assert table.asked == (1, 0), name
                assert seen.history[0][1] in {"stream_interrupted", "invalid_response"}, name

    run_skipping(main)


async def hear_texts(begun: Stream, heard: list[str]) -> None:
    async for chunk in begun:
        heard += [choice.delta.content or "" for choice in chunk.choices if choice.index == 0]
