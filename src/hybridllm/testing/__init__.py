"""Backends that can be scripted, broken and read, and time that can be moved: for tests.

- `SimulatedBackend`: a real HTTP server on a loopback port, with a `Fault` on demand.
- `ToxicProxy`: breaks the way to any server with a `Toxic`, your own server's too.
- `ScriptedWire`: answers in process with `Reply`, without sockets, in virtual time if wanted.
- `FaultTransport`: a `Fault` in front of any other wire.
- `SimulatedFleet`: a simulated backend for each of a policy's, for thousands of requests in virtual time;
  `traffic` and `send_all` make them.
- `run_in_virtual_time`, `VirtualTimeLoop`, `LoopClock`, `FakeClock`: time that can be moved.
- `no_leaks`: nothing is left running after a block.

Needs no test framework, and is not loaded by `import hybridllm`.
"""

from __future__ import annotations

from hybridllm.testing._ailments import (
    Ailment,
    Crowded,
    Flapping,
    Frozen,
    Killed,
    MetricsFault,
    Slower,
)
from hybridllm.testing._backend import SimulatedBackend
from hybridllm.testing._clock import FakeClock, LoopClock
from hybridllm.testing._demo import DemoBackends, demo_backends
from hybridllm.testing._faults import Cut, Fault, FaultKind
from hybridllm.testing._fleet import SimulatedFleet
from hybridllm.testing._fleet_answers import Service
from hybridllm.testing._fleet_backend import FleetBackend, HealthAnswers
from hybridllm.testing._http1 import RecordedRequest
from hybridllm.testing._leaks import LeakedTasks, no_leaks
from hybridllm.testing._proxy import ToxicProxy
from hybridllm.testing._reply import Reply
from hybridllm.testing._tokens import count_tokens, prompt_tokens, tokenize
from hybridllm.testing._toxics import Toxic, ToxicKind
from hybridllm.testing._traffic import Ask, Ending, Journey, Try, send_all, traffic
from hybridllm.testing._transport import FaultTransport
from hybridllm.testing._virtual_time import (
    VirtualTimeDeadlock,
    VirtualTimeLoop,
    run_in_virtual_time,
)
from hybridllm.testing._vllm_service import VllmService
from hybridllm.testing._wire import ScriptedWire, SentRequest, UnscriptedRequest

__all__ = [
    "Ailment",
    "Ask",
    "Crowded",
    "Cut",
    "DemoBackends",
    "Ending",
    "FakeClock",
    "Fault",
    "FaultKind",
    "FaultTransport",
    "Flapping",
    "FleetBackend",
    "Frozen",
    "HealthAnswers",
    "Journey",
    "Killed",
    "LeakedTasks",
    "LoopClock",
    "MetricsFault",
    "RecordedRequest",
    "Reply",
    "ScriptedWire",
    "SentRequest",
    "Service",
    "SimulatedBackend",
    "SimulatedFleet",
    "Slower",
    "Toxic",
    "ToxicKind",
    "ToxicProxy",
    "Try",
    "UnscriptedRequest",
    "VirtualTimeDeadlock",
    "VirtualTimeLoop",
    "VllmService",
    "count_tokens",
    "demo_backends",
    "no_leaks",
    "prompt_tokens",
    "run_in_virtual_time",
    "send_all",
    "tokenize",
    "traffic",
]
