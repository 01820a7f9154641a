"""Looking for servers: what they say is read, and nothing that they say does harm."""

from __future__ import annotations

import asyncio
import json
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from hybridllm.cli.init.ask_servers import BYTES_MAX, REFUSED, Answer
from hybridllm.cli.init.draft import size
from hybridllm.cli.init.names import logical_name
from hybridllm.cli.init.servers import (
    ASKS_FOR_A_KEY,
    KINDS,
    MODELS_MAX,
    Server,
    look_at,
    server_of,
    usual_addresses,
)
from hybridllm.testing import Fault, SimulatedBackend
from raw_server import Exchange, raw_server, whole

CAPTURES = Path(__file__).parents[1] / "data" / "captures"
URL = "http://127.0.0.1:8000/v1"


def listed(*entries: dict[str, Any], server: str = "", url: str = URL) -> Server:
    """What a server is taken for whose list has these entries."""
    body = json.dumps({"object": "list", "data": entries}).encode()
    return server_of(url, Answer(200, server, body))


@pytest.mark.parametrize(
    ("entry", "server", "port", "kind"),
    [
        (
            {"id": "Qwen/Qwen3-8B", "owned_by": "vllm", "max_model_len": 2048},
            "uvicorn",
            8000,
            "vllm",
        ),
        ({"id": "Qwen/Qwen3-8B", "owned_by": "sglang"}, "uvicorn", 30000, "sglang"),
        ({"id": "qwen3:8b", "owned_by": "library"}, "", 11434, "ollama"),
        ({"id": "hf.co/them/it:Q4", "owned_by": "them"}, "", 11434, "ollama"),
        ({"id": "q.gguf", "owned_by": "llamacpp"}, "", 8080, "llama-cpp"),
        ({"id": "q.gguf", "owned_by": "me"}, "llama.cpp", 9999, "llama-cpp"),
        ({"id": "org/it", "owned_by": "org/it", "created": 0}, "", 8080, "tgi"),
        ({"id": "qwen/it", "owned_by": "organization_owner"}, "", 1234, "lm-studio"),
        ({"id": "gpt", "owned_by": "openai", "created": 1677610602}, "", 4000, "local"),
        ({"id": "gpt"}, "", 8000, "local"),
        ({"id": "gpt", "owned_by": ["vllm"]}, "", 8000, "local"),
    ],
)
def test_a_server_is_known_by_what_it_says(
    entry: dict[str, Any], server: str, port: int, kind: str
) -> None:
    """By the owner of its models, or its `server` header; the port alone proves nothing."""
    found = listed(entry, server=server, url=f"http://127.0.0.1:{port}/v1")

    assert found.kind.backend == kind
    assert found.problem is None


@pytest.mark.parametrize("path", ["default/models.json", "auth/models_with_key.json"])
def test_a_captured_list_of_a_real_vllm_is_read(path: str) -> None:
    """vLLM 0.32's own bytes."""
    response = json.loads((CAPTURES / path).read_text())["response"]
    found = server_of(URL, Answer(response["status"], "uvicorn", response["body"].encode()))

    assert found.kind.backend == "vllm"
    assert [(model.name, model.context_tokens) for model in found.models] == [("tiny", 2_048)]


@pytest.mark.parametrize(
    ("length", "known"),
    [
        (2048, 2048),
        (0, None),
        (-1, None),
        (True, None),
        ("2048", None),
        (1 << 40, None),
        (None, None),
    ],
)
def test_a_context_length_is_taken_if_it_is_one(length: Any, known: int | None) -> None:
    """vLLM and SGLang tell it."""
    (model,) = listed({"id": "it", "owned_by": "vllm", "max_model_len": length}).models
    assert model.context_tokens == known


@pytest.mark.parametrize(
    "name",
    [
        *(
            None,
            7,
            "",
            " ",
            "a b",
            "a\nb",
            "a\x1b[31mb",
            "ключ",
            "it's",
            '"',
            "{a: b}",
            "a#b",
            "a" * 201,
        ),
        *(
            "sk-0123456789abcdef",
            "org/hf_0123456789abcdefghij",
            "SK-hynix-model-abcdefghijklmnopqrstuvw0123",  # a policy would call it sk-...
            "xoxb-0123456789abcdefghij",
            "${HOME}",
            "!tag",
            "&a",
            "*a",
            "- a",
        ),
    ],
)
def test_a_name_that_a_policy_would_refuse_is_left_out(name: Any) -> None:
    """It is counted, and what is left of the list is used."""
    found = listed({"id": name}, {"id": "qwen3-8b"})

    assert [model.name for model in found.models] == ["qwen3-8b"]
    assert sum(count for _, count in found.left_out) == 1


def test_models_that_are_not_for_this_are_left_out_with_the_reason() -> None:
    """What runs in Ollama's cloud is listed by the server at home, and is not at home."""
    names = ("gpt-oss:120b-cloud", "gemma4:cloud", "bge-reranker:v2", "whisper:large", "qwen3:8b")
    found = listed(*({"id": name, "owned_by": "library"} for name in names))

    assert [model.name for model in found.models] == ["qwen3:8b"]
    assert dict(found.left_out) == {
        "runs in Ollama's cloud, not on this server": 2,
        "neither for chat nor for embeddings": 2,
    }


def test_of_a_huge_list_the_first_are_taken() -> None:
    """A policy of ten thousand models would help nobody."""
    found = listed(*({"id": f"m{number}"} for number in range(10_000)))

    assert [model.name for model in found.models] == [f"m{n}" for n in range(MODELS_MAX)]
    assert sum(count for _, count in found.left_out) == 10_000 - MODELS_MAX


@pytest.mark.parametrize(
    ("status", "body", "problem"),
    [
        (401, b"{}", ASKS_FOR_A_KEY),
        (403, b"{}", ASKS_FOR_A_KEY),
        (302, b"", "not followed"),
        (404, b"", "HTTP 404"),
        (503, b"", "HTTP 503"),
        (200, b"", "does not answer with a list"),
        (200, b"<html>", "does not answer with a list"),
        (200, b"\xff\xfe", "does not answer with a list"),
        (200, b"[" * 100_000, "does not answer with a list"),
        (200, b'{"data": ' + b"1" * 5_000 + b"}", "does not answer with a list"),
        (200, b"7", "does not answer with a list"),
        (200, b'{"data": {}}', "does not answer with a list"),
        (200, b'{"data": []}', "lists no model"),
        (200, b'{"data": [null, 7, [], {}]}', "lists no model"),
        (200, b" " * (BYTES_MAX + 1), "more than 1 MiB"),
    ],
)
def test_an_answer_that_is_no_list_is_told_and_does_no_harm(
    status: int, body: bytes, problem: str
) -> None:
    """Whatever listens on a port may answer anything."""
    assert problem in str(server_of(URL, Answer(status, "", body)).problem)


async def test_servers_are_asked_at_once_and_each_says_what_it_serves() -> None:
    """No key, no cookie, one GET each."""
    async with (
        SimulatedBackend(models=["Qwen/Qwen3-8B"], kind="vllm") as vllm,
        SimulatedBackend(models=["gpt"], api_key="sk-simulated-000000") as keyed,
    ):
        found = await asyncio.to_thread(look_at, [vllm.base_url, keyed.base_url], named=True)

    assert [(one.kind.backend, one.problem) for one in found] == [
        ("vllm", None),
        ("local", ASKS_FOR_A_KEY),
    ]
    assert found[0].models[0].context_tokens == 32_768
    (request,) = vllm.requests
    assert (request.method, request.path) == ("GET", "/v1/models")
    assert not {"authorization", "cookie"} & {name.lower() for name in request.headers}


async def test_a_proxy_of_the_environment_is_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    """It would be asked about servers that only this machine can see."""
    async with (
        SimulatedBackend(name="proxy") as proxy,
        SimulatedBackend(models=["near"]) as near,
    ):
        for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
            monkeypatch.setenv(name, proxy.root_url)
        (found,) = await asyncio.to_thread(look_at, [near.base_url], named=False)

    assert found.problem is None
    assert proxy.requests == []


async def test_a_redirect_is_not_followed() -> None:
    """Whoever listens does not decide where the next question goes."""
    async with SimulatedBackend(models=["elsewhere"]) as other:

        async def elsewhere(exchange: Exchange) -> None:
            head = f"HTTP/1.1 307 Go\r\nlocation: {other.base_url}/models\r\n".encode()
            await exchange.write(whole(b"", head))

        async with raw_server(elsewhere) as server:
            (found,) = await asyncio.to_thread(look_at, [f"{server.url}/v1"], named=True)

    assert "not followed" in str(found.problem)
    assert other.requests == []


async def silent(exchange: Exchange) -> None:
    await exchange.peer_left()


async def dripping(exchange: Exchange) -> None:
    await exchange.write(b"HTTP/1.1 200 OK\r\n\r\n")  # no length, so it lasts as long as it likes
    while True:
        await exchange.write(b" ")
        await asyncio.sleep(0.05)


async def endless(exchange: Exchange) -> None:
    await exchange.write(b"HTTP/1.1 200 OK\r\n\r\n")
    while True:
        await exchange.write(b"[" * 65_536)


async def garbage(exchange: Exchange) -> None:
    await exchange.write(b"\x16\x03\x01 SSH-2.0-hello\r\n" * 100)
    exchange.fin()


async def resetting(exchange: Exchange) -> None:
    exchange.rst()


async def test_whoever_stalls_floods_or_babbles_is_left_alone_soon() -> None:
    """All of them together cost what one costs, and no thread is left waiting."""
    before = threading.active_count()
    async with (
        raw_server(silent) as first,
        raw_server(dripping) as second,
        raw_server(endless) as third,
        raw_server(garbage) as fourth,
        raw_server(resetting) as fifth,
        SimulatedBackend(models=["near"], fault=Fault.status(500)) as sixth,
    ):
        urls = [f"{one.url}/v1" for one in (first, second, third, fourth, fifth)]
        started_s = time.perf_counter()
        found = await asyncio.to_thread(look_at, [*urls, sixth.base_url], named=False)
        took_s = time.perf_counter() - started_s
        left = threading.active_count()

    problems = [str(server.problem) for server in found]
    assert problems[:2] == ["did not answer in time"] * 2
    assert "more than 1 MiB" in problems[2]
    assert problems[3].startswith("cannot be asked: ")
    assert problems[4].startswith("cannot be asked: ")
    assert problems[5] == "answers HTTP 500"
    assert took_s < 4  # 1.5 s for all, and time for a busy machine
    assert left <= before + 1  # the thread that looked


async def test_where_nobody_listens_is_told_at_once() -> None:
    """A closed port is the usual case."""
    async with SimulatedBackend() as gone:
        url = gone.base_url
        gone.kill()
        (found,) = await asyncio.to_thread(look_at, [url], named=False)
    assert found.problem == REFUSED


def test_the_usual_addresses_are_of_this_machine() -> None:
    """Each port once."""
    addresses = usual_addresses()

    assert len(addresses) == len({kind.port for kind in KINDS}) == 5
    assert all(address.startswith("http://127.0.0.1:") for address in addresses)


@pytest.mark.parametrize(
    ("wire", "logical"),
    [
        ("Qwen/Qwen3-8B", "qwen3-8b"),
        ("qwen3:8b", "qwen3-8b"),
        ("llama3.2:latest", "llama3.2"),
        ("/models/Qwen3-8B-Q4_K_M.gguf", "qwen3-8b-q4_k_m"),
        ("accounts/fireworks/models/gpt-oss-120b", "gpt-oss-120b"),
        ("models/", "models"),
        ("...", "model"),
        ("x" * 200, "x" * 60),
    ],
)
def test_a_model_is_called_by_the_last_part_of_its_name(wire: str, logical: str) -> None:
    """So that a route reads well, and the same model on two servers is one model."""
    assert logical_name(wire) == logical


@pytest.mark.parametrize(
    ("name", "billions"),
    [
        ("Qwen/Qwen3-8B", 8), ("qwen3:0.6b", 0.6), ("mixtral-8x7b", 56), ("gemma-3-270m", 0.27),
        ("qwen3-30b-a3b", 30), ("phi-4", None), ("bge-m3", None), ("gpt-oss:120b", 120),
    ],
)  # fmt: skip
def test_the_size_of_a_model_is_read_off_its_name(name: str, billions: float | None) -> None:
    """Lists of models do not tell it otherwise."""
    assert size(name) == billions
