"""`router.status()`: which policy is in force, how its reloads went, what is under way."""

from __future__ import annotations

import asyncio
import json
from datetime import UTC, datetime
from pathlib import Path

import pytest

from hybridllm import PolicyError
from hybridllm.testing import run_in_virtual_time
from runtime.reloading import GOOD, put, reloading, text


def test_a_status_is_told_to_people_and_machines(tmp_path: Path) -> None:
    """Times in the clock's UTC; JSON as it stands."""

    async def main() -> None:
        path = tmp_path / "team.yaml"
        async with reloading(path, text("eu"), {"eu": GOOD.after(5.0)}) as here:
            await asyncio.sleep(10)
            put(path, text("eu", "us"))
            await here.router.reload()
            put(path, text("us").replace("routes:", "rotes:"))
            await asyncio.sleep(10)
            with pytest.raises(PolicyError):
                await here.router.reload()
            task = asyncio.get_running_loop().create_task(here.chat())
            await asyncio.sleep(1)
            status = here.router.status()
            assert status.loaded_at.replace(microsecond=0) == datetime(2026, 1, 1, 0, 0, 10, 0, UTC)
            told = json.loads(json.dumps(status.to_dict()))
            assert told | {
                "last_error": "",
                "version": "",
                "loaded_at": "",
                "last_error_at": "",
            } == {
                "policy": "team",
                "version": "",
                "file": str(path),
                "loaded_at": "",
                "reloads": 1,
                "failed": 1,
                "last_error": "",
                "last_error_at": "",
                "watching": False,
                "observed": {},
                "in_flight": {"eu": 1, "us": 0},
            }
            assert str(status).splitlines()[1:3] == [
                "in force since 2026-01-01T00:00:10+00:00; reloads: 1, failed: 1",
                "a reload failed at 2026-01-01T00:00:20+00:00:",
            ]
            assert str(status).endswith("requests under way: eu 1, us 0")
            await task
            put(path, text("eu", "us"))
            assert await here.router.reload() is False
            assert "failed at 2026-01-01T00:00:20+00:00, and went well since" in str(
                here.router.status()
            )

    run_in_virtual_time(main)


OBSERVING = """
constraints:
  - {name: dear, mode: observe, when: {tenant: "acme-*"}, max_output_price: 0.01}
"""


async def test_counts_of_rules_that_are_gone_go_with_them(tmp_path: Path) -> None:
    """Those of rules that enforce now, too; a rule whose name begins alike is another one."""
    path = tmp_path / "team.yaml"
    both = OBSERVING + "  - {name: dear-2, mode: observe, when: {}, max_output_price: 0.02}\n"
    async with reloading(path, text("eu", more=both)) as here:
        await here.chat(tenant="acme-1")
        assert len(here.router.status().observed) == 2
        put(path, text("eu", more=OBSERVING))
        await here.router.reload()
        (rule,) = here.router.status().observed
        assert rule.startswith("constraint 'dear' ")
        put(path, text("eu"))
        await here.router.reload()
        assert here.router.status().observed == {}


async def test_what_observing_rules_would_have_done_is_counted(tmp_path: Path) -> None:
    """Across reloads."""
    path = tmp_path / "team.yaml"
    async with reloading(path, text("eu", more=OBSERVING)) as here:
        for tenant in ("acme-1", "other", "acme-2"):
            await here.chat(tenant=tenant)
        put(path, text("us", more=OBSERVING))
        await here.router.reload()
        await here.chat(tenant="acme-1")
        observed = here.router.status().observed
        assert sum(observed.values()) == 3
        assert all("dear" in rule for rule in observed)
        assert f"observed 2 times: {next(iter(observed))}" in str(here.router.status())
