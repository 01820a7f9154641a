"""Broken and odd answers, byte for byte over real sockets: none of them is ever a success.

The cases are those that the `openai` SDK reports as success, or lets escape as errors of other
libraries, and more of their kind. With a healthy backend beside, the caller notices nothing; alone,
there is one typed error. Streams are in `test_odd_streams.py`.
"""

from __future__ import annotations

import gzip
import json

import openai
import pytest

from hybridllm import (
    InvalidRequest,
    RequestFailed,
    RouteExhausted,
    Router,
    receipt,
)
from odd_backend import (
    DEEP,
    ERROR,
    HTML,
    INVALID,
    KEY,
    MESSAGES,
    Odd,
    answer,
    completion,
    fleet,
    policy,
    stream,
)
from raw_server import raw_server

ANSWERS = [
    pytest.param(answer(HTML, b"content-type: text/html"), INVALID, id="html"),
    pytest.param(answer(HTML), INVALID, id="html-called-json"),
    pytest.param(answer(b""), INVALID, id="empty"),
    pytest.param(answer(b"null"), INVALID, id="null"),
    pytest.param(answer(b"[]"), INVALID, id="list"),
    pytest.param(answer(b"[" + completion() + b"]"), INVALID, id="answer-in-a-list"),
    pytest.param(answer(b'"hello"'), INVALID, id="text"),
    pytest.param(answer(b"{}"), INVALID, id="empty-object"),
    pytest.param(answer(completion()[:-9]), INVALID, id="truncated-json"),
    pytest.param(answer(completion().replace(b"hello", b"\xff\xfe")), INVALID, id="bad-utf-8"),
    pytest.param(answer(DEEP), INVALID, id="deep"),
    pytest.param(answer(b'{"choices": ' + DEEP), INVALID, id="deep-inside"),
    pytest.param(answer(b"x" * (17 << 20)), INVALID, id="17-MiB"),
    pytest.param(answer(b'{"choices": null}'), INVALID, id="choices-null"),
    pytest.param(answer(b'{"choices": []}'), INVALID, id="choices-empty"),
    pytest.param(answer(b'{"choices": "x"}'), INVALID, id="choices-text"),
    pytest.param(answer(b'{"choices": [null]}'), INVALID, id="choice-null"),
    pytest.param(answer(completion(message=None)), INVALID, id="message-null"),
    pytest.param(answer(completion(message={"content": None})), INVALID, id="content-null"),
    pytest.param(answer(completion(message={"content": 5})), INVALID, id="content-number"),
    pytest.param(answer(completion(finish_reason="abort")), INVALID, id="finish-abort"),
    pytest.param(answer(completion(finish_reason="error")), INVALID, id="finish-error"),
    pytest.param(answer(completion(finish_reason=None)), INVALID, id="not-finished"),
    pytest.param(answer(completion(index=-1)), INVALID, id="negative-index"),
    pytest.param(answer(json.dumps({"error": ERROR}).encode()), "500", id="error"),
    pytest.param(answer(b'{"error": "Rate limit reached"}'), "500", id="error-text"),
    pytest.param(
        answer(json.dumps({"error": ERROR | {"code": 429}}).encode()), "429", id="error-429"
    ),
    pytest.param(answer(json.dumps({"object": "error", **ERROR}).encode()), "500", id="flat-error"),
    pytest.param(
        answer(completion()[:-1] + b', "error": {"code": 503}}'), "503", id="answer-and-error"
    ),
    pytest.param(
        answer(gzip.compress(completion()), b"content-encoding: gzip"), INVALID, id="gzip"
    ),
    pytest.param(
        answer(b"", b"location: http://127.0.0.1:1/", status=b"307 No"), "307", id="redirect"
    ),
    pytest.param(stream(completion()[:20], end="fin"), "reset", id="fin-in-body"),
    pytest.param(stream(completion()[:20], end="rst"), "reset", id="rst-in-body"),
    pytest.param(stream(completion()[:20], end="stall"), "attempt_timeout", id="stall-in-body"),
    pytest.param(stream(end="stall"), "attempt_timeout", id="head-and-no-more"),
]


def patience(label: str) -> str:
    """How long an attempt may take: 17 MiB take their time on a busy machine."""
    return "300ms" if label == "attempt_timeout" else "5s"


@pytest.mark.parametrize(("odd", "label"), ANSWERS)
async def test_an_odd_answer_is_replaced_by_another_backends(odd: Odd, label: str) -> None:
    """The caller gets the good one; the receipt tells of the other."""
    async with fleet(odd, attempt=patience(label)) as here:
        reply = await here.router.chat.completions.create(task="chat", messages=MESSAGES)
        assert reply.choices[0].message.content == "hello"
        failed, served = receipt(reply).attempts
        assert (failed.backend, failed.error, served.backend) == ("odd", label, "good")
        assert (len(here.odd.exchanges), len(here.good.exchanges)) == (1, 1)


@pytest.mark.parametrize(("odd", "label"), ANSWERS)
async def test_an_odd_answer_of_the_only_backend_is_one_typed_error(odd: Odd, label: str) -> None:
    """Ours and openai's; neither key nor prompt is in it, nor what any library said."""
    async with fleet(odd, alone=True, attempt=patience(label)) as here:
        with pytest.raises(RouteExhausted) as caught:
            await here.router.chat.completions.create(task="chat", messages=MESSAGES)
        error = caught.value
        assert isinstance(error, openai.OpenAIError)
        assert error.failures == (("odd", label),)
        assert "canary" not in f"{error} {error!r} {vars(error)}"
        assert (error.__cause__, error.__context__) == (None, None)
        assert len(here.odd.exchanges) == 1


VECTOR = [0.5] * 4


def embeddings(*vectors: object, **others: object) -> bytes:
    data = [
        {"index": i, "object": "embedding", "embedding": vector} for i, vector in enumerate(vectors)
    ]
    return json.dumps({"object": "list", "model": "m", "data": data} | others).encode()


@pytest.mark.parametrize(
    ("odd", "label"),
    [
        pytest.param(answer(embeddings()), INVALID, id="none"),
        pytest.param(answer(embeddings(VECTOR)), INVALID, id="one-for-two"),
        pytest.param(answer(embeddings(VECTOR, VECTOR[:3])), INVALID, id="ragged"),
        pytest.param(answer(embeddings(VECTOR[:3], VECTOR[:3])), INVALID, id="wrong-dimensions"),
        pytest.param(answer(embeddings(VECTOR, [*VECTOR[:3], None])), INVALID, id="null-inside"),
        pytest.param(answer(embeddings(VECTOR, [*VECTOR[:3], float("nan")])), INVALID, id="nan"),
        pytest.param(answer(embeddings(VECTOR, "?")), INVALID, id="not-base64"),
        pytest.param(answer(embeddings(VECTOR, VECTOR, error=ERROR)), "500", id="error-beside"),
        pytest.param(answer(b'{"error": "busy"}'), "500", id="error"),
        pytest.param(answer(completion()), INVALID, id="a-chat-answer"),
        pytest.param(answer(HTML, b"content-type: text/html"), INVALID, id="html"),
        pytest.param(answer(DEEP), INVALID, id="deep"),
    ],
)
async def test_odd_embeddings_are_never_handed_out(odd: Odd, label: str) -> None:
    """A vector of the wrong text, or of the wrong length, spoils an index for good."""
    async with fleet(odd, alone=True) as here:
        with pytest.raises(RouteExhausted) as caught:
            await here.router.embeddings.create(task="index", input=["one", "two"], dimensions=4)
        assert caught.value.failures == (("odd", label),)


# --- the rows of the table that are about the call and not about its answer


async def test_a_request_that_runs_out_of_time_is_sent_once() -> None:
    """It may have been worked on, and billed: the same backend is not asked again."""
    async with fleet(stream(end="stall"), alone=True) as here:
        with pytest.raises(RouteExhausted) as caught:
            await here.router.chat.completions.create(task="chat", messages=MESSAGES)
        assert caught.value.failures == (("odd", "attempt_timeout"),)
        assert len(here.odd.exchanges) == 1


@pytest.mark.parametrize("key", ["sk-canary\r\nx-evil: 1", "sk-canary 0123", "sk-canary-\n"])
async def test_a_key_that_would_break_its_header_is_never_sent(key: str) -> None:
    """The SDK's error quotes it; ours names the variable."""
    async with raw_server(answer(completion())) as server:
        async with Router.from_text(policy(server, None), environ={"KEY": key}) as router:
            with pytest.raises(RequestFailed) as caught:
                await router.chat.completions.create(task="chat", messages=MESSAGES)
        assert (server.connections, server.received) == (0, 0)
    assert "KEY" in str(caught.value)
    assert "canary" not in f"{caught.value} {vars(caught.value)}"


@pytest.mark.parametrize("status", [b"401 Unauthorized", b"400 Bad Request", b"500 Oops"])
async def test_an_error_that_echoes_the_key_does_not_show_it(status: bytes) -> None:
    """Nor does the receipt, which is printed and stored."""
    said = json.dumps({"error": {"message": f"Incorrect API key provided: {KEY}."}}).encode()
    async with fleet(answer(said, status=status), alone=True) as here:
        with pytest.raises(RequestFailed) as caught:
            await here.router.chat.completions.create(task="chat", messages=MESSAGES)
        error = caught.value
        assert "Incorrect API key provided" in str(error)
        assert KEY not in f"{error} {error!r} {vars(error)} {receipt(error)}"
        assert KEY not in str(receipt(error).to_dict())


@pytest.mark.parametrize("name", ["Host", "Authorization", "Content-Length", "Accept-Encoding"])
async def test_a_caller_sets_no_header_that_is_ours(name: str) -> None:
    """Nothing is sent at all: a silently dropped header would be a surprise as well."""
    async with fleet(answer(completion()), alone=True) as here:
        with pytest.raises(InvalidRequest, match=name):
            await here.router.chat.completions.create(
                task="chat", messages=MESSAGES, extra_headers={name: "evil"}
            )
        assert here.odd.connections == 0
