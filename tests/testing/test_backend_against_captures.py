"""The simulated vLLM writes what the real one wrote: same status, same fields, same order, same types."""

from __future__ import annotations

import json
from typing import Any

import pytest

from captures import Capture, captures
from hybridllm.testing import SimulatedBackend
from testing.raw_client import ask

# Recorded with options that the simulation has not, or with a model that has not what it has.
_OTHER_SERVER = {
    "default/embeddings_on_generate_model": "one simulated model does everything",
    "default/err_image_on_text_model": "it takes images",
    "default/err_data_parallel_rank": "a header asks for it, and none is sent here",
    "default/err_wrong_content_type": "it takes JSON under any name",
    "default/chat_stream_continuous_usage": "usage in every chunk is an option of that request only",
    "default/err_tool_auto_not_enabled": "it has a tool parser",
    "default/err_tool_named_no_parser": "it has a tool parser",
    "default/err_tool_required_no_parser": "it has a tool parser",
    "default/err_tools_default_choice": "it has a tool parser",
    "embed/err_chat_on_pooling_model": "one simulated model does everything",
    "embed/err_dimensions": "it can shorten vectors",
    "embed/err_unknown_model": "it names the field at fault in both endpoints",
}
_FAMILIES = (
    "default/chat",
    "default/err_",
    "default/models",
    "default/embeddings_on",
    "embed/embeddings",
    "embed/err_",
    "embed/models",
    "full/chat_tool_",
    "full/chat_cached_warm",
)
_PATHS = {"/v1/chat/completions", "/v1/embeddings", "/v1/models"}


def _comparable(capture: Capture) -> bool:
    return (
        capture.name.startswith(_FAMILIES)
        and capture.path in _PATHS
        and capture.name not in _OTHER_SERVER
        and not (capture.request is None and capture.path != "/v1/models")
        and not capture.name.endswith(("leaks_markup", "result_turn"))
        and "...cut..." not in json.dumps(capture.request)  # long prompts were not kept whole
    )


_NAMES = sorted(name for name, capture in captures().items() if _comparable(capture))


@pytest.mark.parametrize("name", _NAMES)
async def test_simulated_vllm_has_the_shape_of_the_recorded_one(name: str) -> None:
    """Only values may differ: every object has the same names in the same order, of the same types."""
    real = captures()[name]
    model = "tiny-embed" if name.startswith("embed/") else "tiny"
    cached = 96 if name.startswith("full/") else None
    server = SimulatedBackend(
        kind="vllm", models=[model], context_tokens=2048, cached_tokens=cached
    )
    async with server as backend:
        method = "GET" if real.path == "/v1/models" or name.endswith("wrong_method") else "POST"
        body = None if method == "GET" else real.request
        ours = await ask(backend, body, path=real.path, method=method)

    assert ours.status == real.status
    assert ours.headers["server"] == "hybridllm-simulated"
    if real.is_stream:
        assert ours.headers["content-type"] == dict(real.headers)["content-type"]
        theirs = _events(real.body)
        for at in (0, 1, -2, -1):
            _assert_same_shape(theirs[at], ours.events[at], f"event {at}")
        assert ours.body.endswith(b"data: [DONE]\n\n")
    else:
        _assert_same_shape(json.loads(real.body), ours.json, "$")


def test_the_comparison_has_something_to_compare() -> None:
    """The names above are real, and most of what was recorded is compared."""
    assert set(captures()) >= set(_OTHER_SERVER)
    assert len(_NAMES) > 50


def _events(body: bytes) -> list[Any]:
    lines = body.decode().splitlines()
    return [json.loads(line[6:]) for line in lines if line.startswith("data: {")]


def _assert_same_shape(real: Any, ours: Any, path: str) -> None:
    if isinstance(real, dict) and isinstance(ours, dict):
        assert list(ours) == list(real), path
        for name, value in real.items():
            _assert_same_shape(value, ours[name], f"{path}.{name}")
    elif isinstance(real, list) and isinstance(ours, list):
        assert bool(ours) == bool(real), path
        if real:
            _assert_same_shape(real[0], ours[0], f"{path}[0]")
    else:
        assert type(ours) is type(real), f"{path}: {ours!r} for {real!r}"
