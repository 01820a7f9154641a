"""Rows that the fault catalogue has not, H18 to H25: oddities of HTTP itself, byte for byte."""

from __future__ import annotations

import asyncio
import gzip
import json
from typing import Any

from faults.odd_answers import odd_table
from faults.skipping import run_skipping
from hybridllm.testing import no_leaks
from odd_backend import DONE, HEL, INVALID, LO, ROLE, STOP, Odd, completion
from raw_server import Exchange, chunk

OK = b"HTTP/1.1 200 OK\r\n"
JSON = b"content-type: application/json\r\n"
SSE = b"content-type: text/event-stream\r\n"
BODY = completion()
LENGTH = b"content-length: %d\r\n" % len(BODY)
TALK = ROLE + HEL + LO + STOP + DONE
FORGED = completion(message={"role": "assistant", "content": "forged"})
FORGERY = OK + JSON + b"content-length: %d\r\n\r\n" % len(FORGED) + FORGED
SERVED = [("odd", None)]


def raw(*pieces: bytes, end: str = "open") -> Odd:
    """These bytes, and then the end: open, fin or rst."""

    async def play(exchange: Exchange) -> None:
        for data in pieces:
            await exchange.write(data)
            await asyncio.sleep(0)
        if end != "open":
            await asyncio.sleep(0.01)
            exchange.fin() if end == "fin" else exchange.rst()

    return play


def failed(label: str) -> list[tuple[str, str | None]]:
    return [("odd", label), ("well", None)]


BROKEN = [("odd", "invalid_response or reset"), ("well", None)]


async def assert_told(cases: dict[str, tuple[Odd, Any]], **call: Any) -> None:
    """Each answer is told so; the caller has "hello" in any case, and the next call has it too."""
    async with no_leaks(), odd_table() as table:
        for name, (odd, history) in cases.items():
            told = await table.told(odd, **call)
            # Broken in its head or in its body: that depends on how much of it is read at once.
            either = history is BROKEN and told.history in (failed(INVALID), failed("reset"))
            assert either or told.history == history, name
            assert told.text == "hello", name
            again = await table.again(**call)
            assert again.text == "hello", name


def test_h18_hints_before_the_answer_are_passed_over() -> None:
    """100 and 103 may come before any answer, also slowly, also many; alone they are none."""
    hint = b"HTTP/1.1 103 Early Hints\r\nlink: </x>; rel=preload\r\n\r\n"
    whole = OK + JSON + LENGTH + b"\r\n" + BODY
    cases = {
        "nothing after it": (raw(hint, end="fin"), failed("reset")),
        "103": (raw(hint + whole), SERVED),
        "100": (raw(b"HTTP/1.1 100 Continue\r\n\r\n", whole), SERVED),
        "three in pieces": (raw(hint[:9], hint[9:], hint, hint + whole[:5], whole[5:]), SERVED),
    }
    run_skipping(lambda: assert_told(cases))


def test_h19_a_body_that_is_not_as_long_as_it_says_is_no_answer() -> None:
    """Shorter or longer; with two lengths, with both framings at once, with chunks that are none."""
    longer, shorter = (b"content-length: %d\r\n" % (len(BODY) + by) for by in (9, -9))
    both = LENGTH + b"transfer-encoding: chunked\r\n"
    chunked = OK + JSON + b"transfer-encoding: chunked\r\n\r\n"
    cases = {
        "longer": (raw(OK + JSON + longer + b"\r\n" + BODY, end="fin"), failed("reset")),
        "shorter": (raw(OK + JSON + shorter + b"\r\n" + BODY), failed(INVALID)),
        "two lengths": (raw(OK + JSON + LENGTH + shorter + b"\r\n" + BODY), failed(INVALID)),
        "negative": (raw(OK + JSON + b"content-length: -1\r\n\r\n" + BODY), failed(INVALID)),
        "a word": (raw(OK + JSON + b"content-length: long\r\n\r\n" + BODY), failed(INVALID)),
        "length and chunks": (
            raw(OK + JSON + both + b"\r\n" + chunk(BODY) + chunk(b"")), failed(INVALID),
        ),
        "a chunk without a size": (raw(chunked + b"zz\r\n" + BODY + b"\r\n"), BROKEN),
        "a chunk too long": (raw(chunked + b"5\r\n" + BODY + b"\r\n0\r\n\r\n"), BROKEN),
        "no last chunk": (raw(chunked + chunk(BODY), end="fin"), failed("reset")),
        "chunks with extensions": (raw(chunked + b"%x;a=b\r\n%b\r\n0\r\n\r\n" % (len(BODY), BODY)), SERVED),
        "trailers": (raw(chunked + chunk(BODY) + b"0\r\nx-sum: 1\r\nx-more: 2\r\n\r\n"), SERVED),
    }  # fmt: skip
    run_skipping(lambda: assert_told(cases))


def forging(whole: bytes, how: str) -> Odd:
    """A whole answer, and one that nobody asked for."""

    async def play(exchange: Exchange) -> None:
        await exchange.write(whole)
        if how == "later":
            await asyncio.sleep(0.05)
        await exchange.write(FORGERY)

    return play


def test_h20_what_comes_after_an_answer_is_not_the_next_ones() -> None:
    """A second answer that nobody asked for, with the first one or later: its connection is closed."""

    async def main() -> None:
        async with odd_table() as table:
            for how in ("with it", "later", "behind a stream"):
                streamed = how == "behind a stream"
                head = OK + (
                    SSE + b"transfer-encoding: chunked\r\n\r\n"
                    if streamed
                    else JSON + LENGTH + b"\r\n"
                )
                body = chunk(TALK) + chunk(b"") if streamed else BODY

                told = await table.told(forging(head + body, how), stream=streamed)
                assert (told.text, told.history) == ("hello", SERVED), how
                await asyncio.sleep(0.1)
                for _ in range(3):
                    again = await table.again()
                    assert (again.text, again.history) == ("hello", SERVED), how

    run_skipping(main)


def test_h21_headers_without_an_end_are_refused() -> None:
    """A megabyte in one or in many, an endless one: the answer is given up, and memory stays."""
    many = b"".join(b"x-%d: %b\r\n" % (number, b"y" * 90) for number in range(10_000))
    rest, long = LENGTH + b"\r\n" + BODY, b"y" * (1 << 20)
    cases = {
        "one of 1 MiB": (raw(OK + JSON + b"x: " + long + b"\r\n" + rest), failed(INVALID)),
        "many of 1 MB": (raw(OK + JSON + many + rest), failed(INVALID)),
        "a status of 1 MiB": (raw(b"HTTP/1.1 200 " + long + b"\r\n" + JSON + rest), failed(INVALID)),
        "a name of 1 MiB": (raw(OK + JSON + long + b": 1\r\n" + rest), failed(INVALID)),
        "a hundred": (raw(OK + JSON + many[: 100 * 90].rsplit(b"\r\n", 1)[0] + b"\r\n" + rest), SERVED),
        "NUL": (raw(OK + JSON + b"x: a\0b\r\n" + rest), failed(INVALID)),
        "no colon": (raw(OK + JSON + b"hello\r\n" + rest), failed(INVALID)),
    }  # fmt: skip
    run_skipping(lambda: assert_told(cases))


def status(line: bytes, *more: bytes) -> Odd:
    return raw(b"HTTP/1.1 " + line + b"\r\n" + b"".join(more) + b"\r\n", end="open")


def test_h22_only_200_is_an_answer() -> None:
    """201, 202, 206 with a body like one; 204 and 205 without any; a status that does not exist."""
    body = JSON + LENGTH + b"\r\n" + BODY
    cases: dict[str, tuple[Odd, Any]] = {
        code: (raw(b"HTTP/1.1 " + code.encode() + b" So\r\n" + body), failed(code))
        for code in ("201", "202", "203", "206", "299", "600", "999")
    }
    cases |= {
        "204": (status(b"204 No Content"), failed("204")),
        "205": (status(b"205 Reset Content", b"content-length: 0\r\n"), failed("205")),
        "304": (status(b"304 Not Modified"), failed("304")),
        "no reason": (raw(b"HTTP/1.1 200\r\n" + body), SERVED),
        "1000": (raw(b"HTTP/1.1 1000 So\r\n" + body), failed(INVALID)),
        "HTTP/9": (raw(b"HTTP/9.9 200 OK\r\n" + body, end="fin"), failed(INVALID)),
        "no HTTP": (raw(b"SSH-2.0-OpenSSH_9.6\r\n", end="fin"), failed(INVALID)),
    }
    run_skipping(lambda: assert_told(cases))


def test_h23_a_body_that_ends_with_its_connection_is_read_to_there() -> None:
    """HTTP/1.0 knows no other way: whole it is an answer, cut it is none, in good order or reset."""
    old = b"HTTP/1.0 200 OK\r\n"
    cases = {
        "1.0": (raw(old + JSON + b"\r\n" + BODY, end="fin"), SERVED),
        "1.0 kept": (raw(old + JSON + LENGTH + b"connection: keep-alive\r\n\r\n" + BODY), SERVED),
        "1.1": (raw(OK + JSON + b"connection: close\r\n\r\n" + BODY, end="fin"), SERVED),
        "cut": (raw(old + JSON + b"\r\n" + BODY[:-5], end="fin"), failed(INVALID)),
        "cut and reset": (raw(old + JSON + b"\r\n" + BODY[:-5], end="rst"), BROKEN),
    }
    streams = {
        "1.0": (raw(old + SSE + b"\r\n" + TALK, end="fin"), SERVED),
        "cut": (raw(old + SSE + b"\r\n" + ROLE, end="fin"), failed("stream_interrupted")),
        "empty": (raw(old + SSE + b"\r\n", end="fin"), failed(INVALID)),
    }

    async def main() -> None:
        await assert_told(cases)
        await assert_told(streams, stream=True)

    run_skipping(main)


def test_h24_what_a_body_is_called_does_not_matter_if_it_is_an_answer() -> None:
    """text/plain, no type at all, another charset in the name only, a cookie, upper case."""
    rest = LENGTH + b"\r\n" + BODY
    packed = chunk(gzip.compress(BODY)) + chunk(b"")
    cases = {
        name: (raw(OK + fields + rest), SERVED)
        for name, fields in {
            "text": b"content-type: text/plain\r\n",
            "none": b"",
            "charset": b"content-type: application/json; charset=utf-16\r\n",
            "cookie": JSON + b"set-cookie: a=b; domain=evil.test\r\n",
            "identity": JSON + b"content-encoding: Identity\r\n",
            "upper": JSON.upper(),
        }.items()
    } | {
        "GZIP": (raw(OK + JSON + b"Content-Encoding: GZIP\r\n" + rest), failed(INVALID)),
        "br": (raw(OK + JSON + b"content-encoding: br\r\n" + rest), failed(INVALID)),
        "twice": (raw(OK + JSON + b"content-encoding: identity, gzip\r\n" + rest), failed(INVALID)),
        "transfer gzip": (
            raw(OK + JSON + b"transfer-encoding: gzip, chunked\r\n\r\n" + packed),
            failed(INVALID),
        ),
    }  # fmt: skip
    run_skipping(lambda: assert_told(cases))


def test_h25_json_in_the_place_of_a_stream_is_no_stream() -> None:
    """Called json, an error counts as what it says; whatever is called a stream has to have events."""
    error = json.dumps({"error": {"code": 503, "message": "m"}}).encode()
    tail = b"content-length: %d\r\n\r\n" % len(error) + error
    talk = b"content-length: %d\r\n\r\n" % len(TALK) + TALK
    cases = {
        "json": (raw(OK + JSON + tail), failed("503")),
        "called a stream": (raw(OK + SSE + tail), failed(INVALID)),
        "whole": (raw(OK + JSON + LENGTH + b"\r\n" + BODY), failed(INVALID)),
        "whole, called a stream": (raw(OK + SSE + LENGTH + b"\r\n" + BODY), failed(INVALID)),
        "a stream, called json": (raw(OK + JSON + talk), failed(INVALID)),
        "a stream, called nothing": (raw(OK + talk), SERVED),
    }  # fmt: skip
    run_skipping(lambda: assert_told(cases, stream=True))
