"""No file that a router is given while it runs takes its policy away, however hostile or sloppy it is."""

from __future__ import annotations

from pathlib import Path

import pytest

from hybridllm import PolicyError, receipt
from hybridllm.testing import run_in_virtual_time
from policy.hostile_files import AN_API_KEY, ENVIRON, FILES
from runtime.reloading import put, reloading, text
from runtime.world import KEY

HOSTILE = [file for file in FILES if file.says]


def test_the_last_good_policy_outlives_every_hostile_file(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """One error for each, a request answered after each; and the next good file is taken."""

    async def main() -> None:
        path = tmp_path / "team.yaml"
        async with reloading(path, text("eu"), environ={"KEY": KEY} | ENVIRON) as here:
            policy = here.router.policy
            for count, file in enumerate(HOSTILE, start=1):
                put(path, file.data)
                with pytest.raises(PolicyError) as caught:
                    await here.router.reload()
                status = here.router.status()
                assert (file.name, file.says in str(caught.value)) == (file.name, True)
                assert (file.name, status.failed, status.reloads) == (file.name, count, 0)
                assert AN_API_KEY not in f"{caught.value} {status} {status.to_dict()}"
                assert here.router.policy is policy
                assert receipt(await here.chat()).policy_version == policy.version
            put(path, text("us", route="good"))
            assert await here.router.reload() is True
            assert receipt(await here.chat()).route == "good"
            assert here.router.status().last_error is None

    assert len(HOSTILE) >= 70
    run_in_virtual_time(main)
    assert AN_API_KEY not in caplog.text


def test_a_watched_file_tells_each_hostile_content_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Short enough for a log, and without what somebody wrote into it by mistake."""

    async def main() -> None:
        path = tmp_path / "team.yaml"
        environ = {"KEY": KEY} | ENVIRON
        async with reloading(path, text("eu"), environ=environ, watch=True) as here:
            policy = here.router.policy
            for file in HOSTILE[::5]:
                for _ in range(2):
                    put(path, file.data)
                    await here.router._clock.sleep(2.2)
                assert here.router.policy is policy
            assert here.router.status().watching

    run_in_virtual_time(main)
    told = [record.getMessage() for record in caplog.records]
    assert len(told) == len(HOSTILE[::5])
    assert max(map(len, told)) < 2_200
    assert AN_API_KEY not in caplog.text
