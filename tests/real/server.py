"""A real vLLM server on a loopback port, as a process of its own; and what it says of itself.

Its Python and its model come from the environment, where `nox -s vllm` puts them: vLLM pins half of PyPI, so
that it lives in an environment beside the project's.
"""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx

KEY = "sk-local-test-key"
CONTEXT = 4_096
SLOTS = 2
BLOCK = 32
KV_BLOCKS = 200  # more than one request of the whole context, and less than two
QUEUED_MAX = 16  # waiting and running together
START_S_MAX = 240.0

OPTIONS = (
    f"--served-model-name tiny tiny-alias --host 127.0.0.1 --dtype float32 --enforce-eager --api-key {KEY} "
    f"--max-model-len {CONTEXT} --max-num-seqs {SLOTS} --block-size {BLOCK} "
    f"--num-gpu-blocks-override {KV_BLOCKS} --enable-prompt-tokens-details "
    f"--max-num-queued-reqs {QUEUED_MAX} --sse-keep-alive-interval 1 "
    "--enable-auto-tool-choice --tool-call-parser hermes"
).split()

ENVIRONMENT = {
    "VLLM_TARGET_DEVICE": "cpu",
    "VLLM_CPU_KVCACHE_SPACE": "1",
    "VLLM_CPU_OMP_THREADS_BIND": "nobind",
    "OMP_NUM_THREADS": "1",
    # Or the first request for log probabilities takes twenty seconds.
    "TORCHDYNAMO_DISABLE": "1",
    "TORCH_COMPILE_DISABLE": "1",
    # Or its processes talk to each other by the machine's own address.
    "VLLM_HOST_IP": "127.0.0.1",
    "VLLM_LOOPBACK_IP": "127.0.0.1",
    "GLOO_SOCKET_IFNAME": "lo",
    "VLLM_NO_USAGE_STATS": "1",
    "DO_NOT_TRACK": "1",
    "HF_HUB_OFFLINE": "1",
    "TRANSFORMERS_OFFLINE": "1",
    "TOKENIZERS_PARALLELISM": "false",
}
_SAMPLE = re.compile(r"^(vllm:\w+)(?:\{(.*)\})? (\S+)$", re.MULTILINE)


@dataclass
class RealServer:
    """A running server.

    Attributes:
        url: Without `/v1`.
        log: What it printed.
    """

    url: str
    process: subprocess.Popen[bytes]
    log: Path
    _engine: int | None = field(default=None, repr=False)

    @property
    def base_url(self) -> str:
        return f"{self.url}/v1"

    @property
    def engine(self) -> int:
        """The process that holds the model; the one that speaks HTTP is another."""
        if self._engine is None:
            found = [
                pid for pid, parent, name in _processes() if (parent, name) == self._engine_mark
            ]
            assert len(found) == 1, f"engines found: {found}"
            self._engine = found[0]
        return self._engine

    @property
    def _engine_mark(self) -> tuple[int, str]:
        return self.process.pid, "VLLM::EngineCor"  # the kernel keeps fifteen letters

    def signal(self, what: signal.Signals, *, engine: bool = False) -> None:
        """Send a signal to the server, or to its engine."""
        os.kill(self.engine if engine else self.process.pid, what)

    @asynccontextmanager
    async def client(self) -> AsyncIterator[httpx.AsyncClient]:
        """A plain client with the right key: for what no router would send."""
        async with httpx.AsyncClient(
            base_url=self.url,
            headers={"Authorization": f"Bearer {KEY}"},
            timeout=30.0,
            verify=False,
            trust_env=False,
        ) as client:
            yield client

    async def gauges(self, client: httpx.AsyncClient) -> dict[str, float]:
        """Every sample of its metrics page by its name; of those with other labels than usual, the sum."""
        found: dict[str, float] = {}
        for name, _, value in _SAMPLE.findall((await client.get("/metrics")).text):
            short = name.removeprefix("vllm:")
            found[short] = found.get(short, 0.0) + float(value)
        return found


def _processes() -> Iterator[tuple[int, int, str]]:
    """Number, parent and name of each process."""
    for folder in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            status = (folder / "stat").read_text()
            name, _, rest = status.partition("(")[2].rpartition(")")
            yield int(folder.name), int(rest.split()[1]), name


@contextmanager
def real_server(log: Path, *options: str, start_s_max: float = START_S_MAX) -> Iterator[RealServer]:
    """Run a server for the length of the block. `options` go after those above; the last ones count."""
    python, model = (os.environ.get(name) for name in ("VLLM_PYTHON", "VLLM_MODEL"))  # noqa: TID251
    if not python or not model:
        raise RuntimeError("these tests need a real vLLM server: run `nox -s vllm`")
    port = _free_port()
    # The path of the model shows up in answers: a relative one.
    command = [python, "-W", "ignore", "-m", "vllm.entrypoints.openai.api_server"]
    command += ["--model", Path(model).name, "--port", str(port), *OPTIONS, *options]
    with log.open("wb") as out:
        process = subprocess.Popen(
            command,
            cwd=Path(model).parent,
            env=os.environ | ENVIRONMENT,  # noqa: TID251 - of what is started
            stdout=out,
            stderr=out,
            start_new_session=True,
        )
    server = RealServer(f"http://127.0.0.1:{port}", process, log)
    try:
        _wait_until_ready(server, start_s_max)
        yield server
    finally:
        _stop(process)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _wait_until_ready(server: RealServer, within_s: float) -> None:
    end = time.perf_counter() + within_s
    while True:
        with suppress(httpx.TransportError):
            if httpx.get(f"{server.url}/health", timeout=2.0, trust_env=False).status_code == 200:
                return
        if server.process.poll() is not None or time.perf_counter() > end:
            said = server.log.read_text(errors="replace")[-4_000:]
            raise RuntimeError(f"vLLM did not start within {within_s:.0f} s:\n{said}")
        time.sleep(0.25)


def _stop(process: subprocess.Popen[bytes]) -> None:
    """End the server, its engine and its workers: the group is theirs alone."""
    process.terminate()
    with suppress(subprocess.TimeoutExpired):
        process.wait(10)
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait(10)


def messages(text: str) -> list[dict[str, Any]]:
    """A conversation of one message."""
    return [{"role": "user", "content": text}]
