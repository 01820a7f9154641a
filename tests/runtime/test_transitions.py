"""What the log says of breakers: each transition once, in words, as loud as it deserves."""

from __future__ import annotations

import asyncio
import logging
import re

import pytest

from hybridllm.testing import Reply, run_in_virtual_time
from runtime.world import script


def test_opening_is_a_warning_and_closing_is_information(caplog: pytest.LogCaptureFixture) -> None:
    """Who, from what to what, and for how long. A probe that failed is no news: somebody is still ill."""
    caplog.set_level(logging.DEBUG, "hybridllm")

    async def main() -> None:
        async with script(
            "us", "eu", us=[*[Reply.status(500)] * 6, Reply.chat("yes")], eu=Reply.chat("yes")
        ) as here:
            for _ in range(8):
                await here.chat()
            for _ in range(4):
                await asyncio.sleep(13)
                await here.chat()

    run_in_virtual_time(main)
    said = [
        (record.levelname, re.sub(r"\d+\.\d", "N", record.getMessage()))
        for record in caplog.records
        if record.name == "hybridllm"
    ]
    us = "breaker of us/m:"
    assert said == [
        ("WARNING", f"{us} closed -> open for N s (opening 1)"),
        ("DEBUG", f"{us} open -> half_open"),
        ("INFO", f"{us} half_open -> open for N s (opening 2)"),
        ("DEBUG", f"{us} open -> half_open"),
        ("INFO", f"{us} half_open -> closed"),
    ]


def test_the_log_never_repeats_a_backends_own_words(caplog: pytest.LogCaptureFixture) -> None:
    """They may echo a prompt."""

    async def main() -> None:
        told = Reply.status(401, {"error": {"message": "canary-words"}})
        async with script("us", "eu", us=told, eu=Reply.chat("yes")) as here:
            for _ in range(6):
                await here.chat()

    run_in_virtual_time(main)
    assert "backend us is left alone for 60 s: 401" in caplog.text
    assert "canary" not in caplog.text
