"""Keys, echoed input and control characters do not get through; what helps the caller does."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hybridllm._core.resilience.error_body import ErrorBody, read_error
from hybridllm._core.resilience.redact import MASK, redact, safe_message

KEY = "acme-Key+99/with=odd&chars"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param(f"bad key {KEY}!", f"bad key {MASK}!", id="as-it-is"),
        pytest.param(f"bad key {KEY.upper()}!", f"bad key {MASK}!", id="other-case"),
        pytest.param(f"{KEY}{KEY}", MASK * 2, id="twice"),
        pytest.param("u=acme-Key%2B99%2Fwith%3Dodd%26chars.", f"u={MASK}.", id="percent-encoded"),
        pytest.param("<b>acme-Key+99/with=odd&amp;chars</b>", f"<b>{MASK}</b>", id="html-escaped"),
        pytest.param(f"it was {KEY[:12]}", f"it was {MASK}", id="cut-off-by-the-end"),
        pytest.param(f"it was {KEY[:4]}", f"it was {MASK}", id="four-characters-of-it"),
        pytest.param(f"it was {KEY[:3]}", "it was acm", id="three-characters-of-it"),
        pytest.param("acme acme acme-", f"acme acme {MASK}", id="only-the-end-is-a-cut"),
    ],
)
def test_a_known_secret_is_masked(text: str, expected: str) -> None:
    """In every form that a backend may echo it in."""
    assert redact(text, [KEY]) == expected


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("Incorrect API key provided: sk-proj-abc123DEF456ghi789.", id="openai"),
        pytest.param("Incorrect API key provided: sk-abcde***********wxyz.", id="half-masked"),
        pytest.param("got 'Authorization: Bearer eyJhbGciOi.eyJzdWIiOiIx.c2ln'", id="jwt"),
        pytest.param("header was Bearer 0123abcdef", id="bearer"),
        pytest.param("header was bearer abcdefghijklmnopqrstuvwx", id="bearer-letters"),
        pytest.param("Basic dXNlcjpwYXNzd29yZA==9", id="basic"),
        pytest.param("api_key=AbCdEf0123456789xyz+/==", id="after-key"),
        pytest.param('the key "AbCdEf0123456789xyz" is unknown', id="after-key-quoted"),
        pytest.param("gsk_a1b2c3d4e5f6g7h8", id="groq"),
        pytest.param("hf_a1b2c3d4e5f6g7h8", id="huggingface"),
        pytest.param("AIzaSyA1234567890abcdefghijklmnopqrstu", id="google"),
        pytest.param("AKIAIOSFODNN7EXAMPLE", id="aws"),
        pytest.param("id 4f" + "a7" * 19 + " unknown", id="long-run"),
    ],
)
def test_what_looks_like_a_key_is_masked(text: str) -> None:
    """Keys that we were never told of: of another client, of a proxy, half masked already."""
    shown = redact(text)
    assert MASK in shown
    for word in ("abc123", "abcde", "wxyz", "eyJ", "0123", "dXNl", "a1b2", "AIza", "AKIA", "4fa7"):
        assert word not in shown
    assert "abcdefgh" not in shown


@pytest.mark.parametrize(
    "text",
    [
        "max_tokens must be at least 1, got 0. (parameter=max_tokens, value=0)",
        "This model's maximum context length is 2048 tokens. However, your prompt contains at "
        "least 2049 input tokens, which exceeds this limit.",
        "The model `Qwen/Qwen3-32B-Instruct-FP8` does not exist. Valid aliases: tiny, tiny-alias.",
        '"auto" tool choice requires --enable-auto-tool-choice and --tool-call-parser to be set',
        "Bearer authentication is required; basic information is missing",
        "Unauthorized: no API key given in the Authorization header",
        "token count of 12345 exceeds the key limit; see risk-assessment",
        "request id 48d5880c6c4340a3ab7d440c77cddcca",
    ],
)
def test_what_helps_the_caller_is_kept(text: str) -> None:
    """Real messages stay whole."""
    assert redact(text, [KEY]) == text


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param("a\r\nb\tc", "a b c", id="one-line"),
        pytest.param("\x1b[31mred\x1b[0m\x00", "[31mred [0m", id="terminal-escapes"),
        pytest.param("ab\u202ecd\u200be", "ab cd e", id="direction-and-zero-width"),
        pytest.param("lone \ud800 surrogate", "lone surrogate", id="surrogate"),
    ],
)
def test_control_characters_go(text: str, expected: str) -> None:
    """A message cannot forge a log line or steer a terminal, and can always be encoded."""
    assert redact(text) == expected
    assert redact(text).encode()


@pytest.mark.parametrize(("length", "expected"), [(500, 500), (501, 500), (9_000_000, 500)])
def test_a_message_is_cut(length: int, expected: int) -> None:
    shown = redact("ab cd" * (length // 5) + "x" * (length % 5))
    assert len(shown) <= expected
    assert shown.endswith("…") == (length > 500)


def test_a_short_or_empty_secret_blanks_nothing_out() -> None:
    """An empty key would otherwise match between all letters."""
    assert redact("an error", ["", "e", "err"]) == "an error"


def test_the_shortest_secret_that_is_masked_has_four_characters() -> None:
    assert redact("an abcd and an abc", ["abcd", "abc"]) == f"an {MASK} and an abc"


def test_a_secret_that_begins_another_leaves_no_rest() -> None:
    assert redact("x abcd-1234 y", ["abcd", "abcd-1234"]) == f"x {MASK} y"


@given(st.text(max_size=60), st.text(max_size=600), st.integers(0, 520))
def test_no_secret_survives_wherever_it_stands(before: str, after: str, pad: int) -> None:
    """Also across the place where the text is cut."""
    secret = "Zq7!kkWv2#LmP0"
    shown = redact(before + "." * pad + secret + after, [secret]).lower()
    assert secret.lower() not in shown
    assert secret.lower()[:8] not in shown


@given(st.integers(0, 520))
def test_no_secret_survives_the_cut_of_its_body(pad: int) -> None:
    """The body is cut before it is redacted; half a key at the end is a key all the same."""
    secret = "zq7-kkwv2-lmp0"
    body = b'{"error":{"message":"' + b"." * pad + secret.encode() + b'"}}'
    assert secret[:4] not in safe_message(read_error(body), [secret])


@pytest.mark.parametrize(
    "message",
    [
        "1 validation error:\n  {'type': 'int_parsing', 'input': 'THE PROMPT', 'ctx': {'e': 1}}",
        "1 validation error:\n  {'type': 'x', 'input': \"THE 'PROMPT\", 'ctx': {'e': 1}}",
        "{'input': 'it\\'s THE PROMPT', 'ctx': 'after'}",
        "{'input': 'cut off: THE PROMPT",
        "{'input': {'messages': [{'role': 'user', 'content': 'THE PROMPT'}]}}",
        '{"input": ["THE PROMPT"]}',
    ],
)
def test_input_that_a_validation_error_echoes_is_left_out(message: str) -> None:
    """vLLM puts the value that was wrong into its 400; it may be the prompt."""
    shown = safe_message(ErrorBody(message))
    assert "PROMPT" not in shown
    assert "'input': [...]" in shown.replace('"', "'")


@pytest.mark.parametrize(
    "text",
    [
        "key " * 3000,
        "eyJ" * 3000,
        "sk-" * 3000,
        "Bearer " + "a" * 8000,
        "a1" * 5000,
        "'input': '" + "\\" * 8000,
        "_" * 9000,
        ("a" * 63 + "_") * 140,
    ],
)
def test_no_text_takes_long(text: str) -> None:
    """Whoever writes the message does not choose how long we read it."""
    started = time.process_time()
    safe_message(ErrorBody(text), [KEY])
    assert time.process_time() - started < 0.25
