"""Servers of your own: which kinds there are, where they usually listen, and what their models' list tells.

Takes nothing that a server says for granted: a name is used if a policy can hold it, and left out
otherwise.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from hybridllm.cli.init.ask_servers import BYTES_MAX, Answer, model_lists
from hybridllm.cli.init.names import can_be_named

ASKS_FOR_A_KEY = "asks for a key"
MODELS_MAX = 8  # of one server in a starter policy
_NO_CHAT = re.compile(
    r"rerank|whisper|moderation|diffusion|(?<![a-z])(?:tts|asr)(?![a-z])", re.IGNORECASE
)
_EMBEDDING = re.compile(r"embed|minilm|(?<![a-z])(?:bge|e5|gte)-", re.IGNORECASE)
_CONTEXT_TOKENS_MAX = 1 << 30


@dataclass(frozen=True, slots=True)
class Kind:
    """A server program.

    Attributes:
        backend: What a policy calls a server of this kind.
        title: What people call it.
        port: Where it usually listens.
        capabilities: What it can do with every model.
        slow_start: True if the first request may wait until a model is loaded.
    """

    backend: str
    title: str
    port: int
    capabilities: tuple[str, ...] = ()
    slow_start: bool = False


VLLM = Kind("vllm", "vLLM", 8000, ("json_schema", "logprobs"))
SGLANG = Kind("sglang", "SGLang", 30000, ("json_schema", "logprobs"))
OLLAMA = Kind("ollama", "Ollama", 11434, ("json_schema",), slow_start=True)
LLAMA_CPP = Kind("llama-cpp", "llama.cpp", 8080, ("json_schema",))
TGI = Kind("tgi", "TGI", 8080)
LM_STUDIO = Kind("lm-studio", "LM Studio", 1234, ("json_schema",), slow_start=True)
UNKNOWN = Kind("local", "a server that does not say what it is", 0)
KINDS = (VLLM, SGLANG, OLLAMA, LLAMA_CPP, TGI, LM_STUDIO)

# `owned_by` of a listed model. Sources: vllm/entrypoints/openai and sglang/srt/entrypoints/openai
# (protocol.py, class ModelCard), llama.cpp tools/server, ollama/openai/openai.go (the model's namespace),
# https://lmstudio.ai/docs/app/api/endpoints/openai. TGI puts the model's own name there (router/server.rs).
_OWNERS = {
    "vllm": VLLM,
    "sglang": SGLANG,
    "library": OLLAMA,
    "llamacpp": LLAMA_CPP,
    "organization_owner": LM_STUDIO,
}


@dataclass(frozen=True, slots=True)
class Listed:
    """A model in a server's list."""

    name: str
    context_tokens: int | None = None

    @property
    def embeds(self) -> bool:
        """Whether it is an embedding model, by its name: no list says it."""
        return _EMBEDDING.search(self.name) is not None


@dataclass(frozen=True, slots=True)
class Server:
    """A server that was asked.

    Attributes:
        kind: By what it says; `UNKNOWN` if it says nothing, or says nothing of use.
        models: Those that a starter policy can name, in the order of its list.
        left_out: Why others are left out, and how many for that reason.
        problem: Why none of it can be used; None: it can.
        named: True if somebody named it; False: it was looked for where such servers usually listen.
    """

    base_url: str
    kind: Kind = UNKNOWN
    models: tuple[Listed, ...] = ()
    left_out: tuple[tuple[str, int], ...] = ()
    problem: str | None = None
    named: bool = False

    @property
    def title(self) -> str:
        """What it is and where, for people."""
        return f"{self.kind.title} at {self.base_url}"


def usual_addresses() -> list[str]:
    """Return where servers of the known kinds usually listen on this machine."""
    return [f"http://127.0.0.1:{port}/v1" for port in dict.fromkeys(kind.port for kind in KINDS)]


def look_at(base_urls: Sequence[str], *, named: bool) -> list[Server]:
    """Ask servers for their models, all at once. Nothing but `GET .../models` is sent, and no key."""
    answers = model_lists(base_urls, named=named)
    return [
        server_of(url, answer, named=named) for url, answer in zip(base_urls, answers, strict=True)
    ]


def server_of(base_url: str, answer: Answer | str, *, named: bool = False) -> Server:
    """Return what an answer tells of a server."""
    if isinstance(answer, str):
        return Server(base_url, problem=answer, named=named)
    if answer.status != 200:
        return Server(base_url, problem=_refusal(answer.status), named=named)
    if len(answer.body) > BYTES_MAX:
        return Server(base_url, problem="lists models for more than 1 MiB", named=named)
    entries = _entries(answer.body)
    if entries is None:
        return Server(base_url, problem="does not answer with a list of models", named=named)
    kind = _kind(entries, answer.server, port=urlsplit(base_url).port)
    taken: dict[str, Listed] = {}
    left_out: dict[str, int] = {}
    for entry in entries:
        reason = _unusable(entry, kind)
        if reason is None and entry["id"] not in taken and len(taken) == MODELS_MAX:
            reason = f"only the first {MODELS_MAX} are written"
        if reason is None:
            taken.setdefault(entry["id"], Listed(entry["id"], _context_tokens(entry)))
        else:
            left_out[reason] = left_out.get(reason, 0) + 1
    problem = None if taken else "lists no model that a policy could name"
    return Server(base_url, kind, tuple(taken.values()), tuple(left_out.items()), problem, named)


def _refusal(status: int) -> str:
    if status in (401, 403):
        return ASKS_FOR_A_KEY
    if 300 <= status < 400:
        return f"sends elsewhere (HTTP {status}), which is not followed"
    if status == 404:
        return "has no list of models there (HTTP 404)"
    return f"answers HTTP {status}"


def _entries(body: bytes) -> list[dict[str, Any]] | None:
    """Return the entries of a list of models; None if it is none."""
    try:
        value = json.loads(body)
    except (ValueError, RecursionError):
        return None
    data = value.get("data") if isinstance(value, dict) else None
    if not isinstance(data, list):
        return None
    return [entry if isinstance(entry, dict) else {} for entry in data]


def _kind(entries: Iterable[dict[str, Any]], server: str, *, port: int | None) -> Kind:
    if server.lower().startswith("llama.cpp"):
        return LLAMA_CPP
    for entry in entries:
        owner = entry.get("owned_by")
        if isinstance(owner, str) and owner in _OWNERS:
            return _OWNERS[owner]
        if owner and owner == entry.get("id") and entry.get("created") == 0:
            return TGI
    # Models that somebody else published have their namespace as owner: hf.co/them/model:tag
    names = [entry.get("id") for entry in entries]
    if port == OLLAMA.port and names and all(":" in str(name) for name in names):
        return OLLAMA
    return UNKNOWN


def _unusable(entry: dict[str, Any], kind: Kind) -> str | None:
    """Return why a listed model is left out; None: it is not."""
    name = entry.get("id")
    if not isinstance(name, str) or not can_be_named(name):
        return "a name that a policy would refuse"
    if kind is OLLAMA and name.endswith(("-cloud", ":cloud")):
        # https://docs.ollama.com/cloud: listed here, run there. Not "your own server" at all.
        return "runs in Ollama's cloud, not on this server"
    return "neither for chat nor for embeddings" if _NO_CHAT.search(name) else None


def _context_tokens(entry: dict[str, Any]) -> int | None:
    """Return the context length that vLLM and SGLang tell."""
    length = entry.get("max_model_len")
    if isinstance(length, bool) or not isinstance(length, int):
        return None
    return length if 0 < length <= _CONTEXT_TOKENS_MAX else None


def reached(servers: Iterable[Server]) -> Iterator[Server]:
    """Yield those that can be used."""
    return (server for server in servers if server.problem is None)
