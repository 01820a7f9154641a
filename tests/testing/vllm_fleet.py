"""A fleet of one vLLM, and how these tests ask it and read its metrics."""

from __future__ import annotations

import asyncio
import json
import re
from typing import Any

from hybridllm._runtime.ports import WireError, WireRequest
from hybridllm.testing import (
    SimulatedFleet,
    VllmService,
)

OWN = "https://own.test/v1"
PAGE = "https://own.test/metrics"
WAKE = "https://scaler.test/wake"
# A prompt of 4 tokens takes 0.04 s, each token after the first 0.1 s, however many there are.
EVEN: dict[str, Any] = {
    "slots": 2,
    "tokens_per_s": 10.0,
    "tokens_per_s_max": 1e9,
    "prefill_tokens_per_s": 100.0,
    "answer_tokens": 11,
}


def fleet_of(*, seed: int = 1, **options: Any) -> SimulatedFleet:
    service = VllmService(**{**EVEN, **options})
    return SimulatedFleet({"own": OWN}, seed=seed, service=service, wake_urls={"own": WAKE})


def chat(text: str = "hi", headers: dict[str, str] | None = None, **fields: Any) -> WireRequest:
    body = {"model": "m", "messages": [{"role": "user", "content": text}], **fields}
    url = f"{OWN}/chat/completions"
    return WireRequest("POST", url, headers or {}, json.dumps(body).encode())


class Told:
    """One exchange: status or failure, when the head and each piece came, and what they were."""

    def __init__(self) -> None:
        self.outcome: Any = "nothing"
        self.head_s = 0.0
        self.headers: Any = {}
        self.pieces: list[tuple[float, bytes]] = []

    @property
    def body(self) -> bytes:
        return b"".join(data for _, data in self.pieces)

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def events(self) -> list[Any]:
        lines = self.body.decode().splitlines()
        return [json.loads(line[6:]) for line in lines if line.startswith("data: {")]


async def ask(fleet: SimulatedFleet, request: WireRequest, *, wait_s: float = 60.0) -> Told:
    loop, told = asyncio.get_running_loop(), Told()
    began_s = loop.time()
    answer = None
    try:
        async with asyncio.timeout(wait_s):
            answer = await fleet.send(request)
            told.head_s, told.headers = round(loop.time() - began_s, 6), answer.headers
            while piece := await answer.chunk():
                told.pieces.append((round(loop.time() - began_s, 6), piece))
            told.outcome = answer.status
    except WireError as error:
        told.outcome = error.kind
    except TimeoutError:
        pass
    finally:
        if answer is not None:
            await answer.close(reusable=True)
    return told


async def page(fleet: SimulatedFleet) -> dict[str, float]:
    """Every sample of the metrics page."""
    told = await ask(fleet, WireRequest("GET", PAGE, {}))
    assert told.outcome == 200
    return samples(told.body.decode())


def samples(text: str) -> dict[str, float]:
    """Every sample of a page by its name and the labels that say something."""
    found = {}
    for name, labels, value in re.findall(r"^(\S+?)\{(.*)\} (\S+)$", text, re.MULTILINE):
        rest = re.sub(r'engine="0",|,?model_name="[^"]*"', "", labels).strip(",")
        found[f"{name.removeprefix('vllm:')}{rest and '{' + rest + '}'}"] = float(value)
    return found


def gauges(found: dict[str, float]) -> tuple[float, float]:
    return found["num_requests_running"], found["num_requests_waiting"]
