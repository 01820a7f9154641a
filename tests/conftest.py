"""What holds for every test: the same examples on every run, and nothing but this machine is reached."""

from __future__ import annotations

import os
import sys

import pytest
from hypothesis import settings

from socket_watch import WATCH, SocketWatch

# No limit per example either: a busy machine would break it at random.
settings.register_profile("hybridllm", deadline=None, derandomize=True, print_blob=True)
settings.load_profile("hybridllm")
# Tests on a real vLLM server have a session of their own, `nox -s vllm`, which says where that server is.
collect_ignore = [] if "VLLM_PYTHON" in os.environ else ["real"]  # noqa: TID251 - of the test run
sys.addaudithook(WATCH.hook)  # for the life of the process: a hook cannot be taken away


@pytest.fixture
def socket_watch() -> SocketWatch:
    """The process's sockets, to be watched."""
    return WATCH
