"""What the environment says of proxies, keys, organisations and logs changes nothing that is sent.

In a process of its own: libraries read some of it when they are imported.
"""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from pathlib import Path

import hybridllm
from raw_server import RawServer, raw_server, whole
from wires import answering

PROGRAM = """
import asyncio, json, ssl, sys
import trustme
from hybridllm import Router, receipt
from hybridllm._adapters.aiohttp_wire import AiohttpWire
from hybridllm._adapters.tls import client_context
from hybridllm.testing import SimulatedBackend

CA = trustme.CA()
context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
CA.issue_cert("localhost", "127.0.0.1").configure_cert(context)

async def main():
    async with SimulatedBackend(models=["m"]) as plain, SimulatedBackend(models=["m"], tls=context) as safe:
        CA.configure_trust(client_context())
        for backend in (plain, safe):
            policy = f'''
version: 1
backends: {{b: {{kind: api, base_url: "{backend.base_url}", api_key_env: OUR_KEY}}}}
models: {{m: {{on: {{b: m}}}}}}
routes: [{{name: all, use: [m]}}]
'''
            async with Router.from_text(policy) as router:
                answer = await router.chat.completions.create(messages=[{"role": "user", "content": "hi"}])
                assert receipt(answer).outcome == "ok"
        print(json.dumps([dict(one.headers.items()) for b in (plain, safe) for one in b.requests]))

asyncio.run(main())
"""


OURS = {
    "accept",
    "accept-encoding",
    "authorization",
    "content-length",
    "content-type",
    "host",
    "user-agent",
}


def headers_sent(server: RawServer, folder: Path) -> list[dict[str, str]]:
    """What two backends saw, http and https, of a router in an environment full of traps."""
    (folder / ".netrc").write_text("default login canary-login password canary-netrc\n")
    (folder / ".netrc").chmod(0o600)
    proxies = {
        name: server.url
        for upper in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "WS_PROXY", "WSS_PROXY")
        for name in (upper, upper.lower())
    }
    openai = {
        "OPENAI_API_KEY": "sk-canary-openai",
        "OPENAI_ADMIN_KEY": "sk-canary-admin",
        "OPENAI_BASE_URL": f"{server.url}/canary",
        "OPENAI_ORG_ID": "canary-org",
        "OPENAI_PROJECT_ID": "canary-project",
        "OPENAI_CUSTOM_HEADERS": "x-canary: canary-header",
        "OPENAI_LOG": "debug",
        "AIOHTTP_NO_EXTENSIONS": "",
    }
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        env={
            "PYTHONPATH": str(Path(hybridllm.__file__).parents[1]),
            **proxies,
            **openai,
            "OUR_KEY": "sk-canary-ours-0123456789",
            "HOME": str(folder),
            "NETRC": str(folder / ".netrc"),
            "SSLKEYLOGFILE": str(folder / "keys.log"),
            "NO_PROXY": "",
        },
    )
    assert done.returncode == 0, done.stderr
    assert "canary" not in done.stderr
    sent: list[dict[str, str]] = json.loads(done.stdout)
    return sent


async def test_the_environment_neither_leads_nor_adds_nor_listens(tmp_path: Path) -> None:
    """No proxy is connected to, no header is added, and no key of a connection is written to a file."""
    async with raw_server(answering(whole(b"{}"))) as proxy:
        sent = await asyncio.to_thread(headers_sent, proxy, tmp_path)
        assert proxy.connections == 0
    assert len(sent) == 2
    for headers in sent:
        assert {name.lower() for name in headers} == OURS
        assert headers.pop("authorization") == "Bearer sk-canary-ours-0123456789"
        assert "canary" not in json.dumps(headers)
    written = tmp_path / "keys.log"
    lines = written.read_text().splitlines() if written.exists() else []
    assert [line for line in lines if not line.startswith("#")] == []
