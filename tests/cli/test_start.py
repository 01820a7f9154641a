"""How the command line starts: fast, without what it does not need, and without tracebacks."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from cli.conftest import run_process

LOADED = """
import sys
from hybridllm.__main__ import main
try:
    main()
finally:
    heavy = {"openai", "aiohttp", "hybridllm.testing", "httpx", "httpx2"} & set(sys.modules)
    print("heavy:", sorted(heavy), file=sys.stderr)
"""
NO_SOCKET = """
import socket, sys
def refuse(*args, **kwargs):
    raise SystemExit("a socket was opened")
sys.addaudithook(lambda event, args: refuse() if event.startswith("socket.") else None)
from hybridllm.__main__ import main
main()
"""
