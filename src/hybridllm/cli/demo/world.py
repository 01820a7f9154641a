"""The demo's world: simulated backends on loopback ports, one of which can be killed and brought back.

Their addresses reach the shipped policy the way a user's would: through the environment variables that
it names. Nothing is changed in the policy, and nothing reads the environment of this process.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass

from hybridllm.cli.demo.tally import Phase
from hybridllm.testing import Fault, SimulatedBackend

POLICY = "api-first"
