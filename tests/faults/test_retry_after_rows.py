"""The fault catalogue, rows H6 and H7: how long a backend asks to be left alone, sanely or not.

Over real sockets; time in which nothing happens is skipped, so that it is exact.
"""

from __future__ import annotations

from datetime import timedelta
from email.utils import format_datetime
from typing import Any

import openai
import pytest

from faults.regions import OTHER_DAY_S, asked_first, left_alone, two
from faults.skipping import leap, run_skipping
from hybridllm import receipt
from hybridllm.testing import Fault, LoopClock

INSANE = [
    "-5", "0", "-0", "NaN", "nan", "inf", "Infinity", "1e309", "1e3", "+3", "1,5", "0x10", "1_000",
    "soon", "", " ", "3; 4", "9" * 5_000, "Wed, 31 Dec 2025 23:59:00 GMT", "Thu, 32 Foo 2026 99:99:99 GMT",
    "Thu, 01 Jan 10000 00:00:00 GMT", "\u0663", "null", "[2]",
]  # fmt: skip


def in_(seconds: float) -> str:
    return format_datetime(LoopClock().utc_now() + timedelta(seconds=seconds), usegmt=True)


@pytest.mark.parametrize(
    ("headers", "away_s"),
    [
        pytest.param({"retry-after": "1"}, 1.0, id="a-second"),
        pytest.param({"retry-after": "20"}, 20.0, id="seconds"),
        pytest.param({"retry-after": "2.5"}, 2.5, id="a-fraction"),
        pytest.param({"retry-after-ms": "1500"}, 1.5, id="milliseconds"),
        pytest.param({"retry-after-ms": "1500", "retry-after": "30"}, 1.5, id="both"),
        pytest.param({"retry-after-ms": "NaN", "retry-after": "3"}, 3.0, id="one-of-both"),
        pytest.param({"retry-after": 30}, 30.0, id="date"),
        pytest.param({}, 1.0, id="none"),
    ],
)
def test_h6_a_rate_limit_gates_exactly_as_long_as_it_says(
    headers: dict[str, Any], away_s: float
) -> None:
    """Within a tenth. The caller waits for nothing: another backend answers at once."""

    async def main() -> None:
        async with two() as here:
            said = {name: in_(v) if isinstance(v, int) else v for name, v in headers.items()}
            here["eu"].fault = Fault.status(429, headers=said)
            told = receipt(await here.chat())
            assert [one.backend for one in told.attempts] == ["eu", "us"]
            assert told.duration_s < 0.9  # less than the shortest gate
            left_s = away_s * 0.9 - told.duration_s
            await left_alone(here, at_least_s=left_s, at_most_s=away_s * 1.1 + 1.0)

    run_skipping(main)


@pytest.mark.parametrize("status", [429, 503])
@pytest.mark.parametrize("name", ["retry-after", "retry-after-ms"])
def test_h7_a_retry_after_that_makes_no_sense_holds_nobody(name: str, status: int) -> None:
    """It is as if it were not there: no crash, no long sleep, and the backend is soon asked again."""

    async def main() -> None:
        async with two() as here:
            for value in INSANE:
                sent = {name: value.encode().decode("latin-1")}
                here["eu"].fault = Fault.status(status, headers=sent)
                told = receipt(await here.chat())
                assert [one.backend for one in told.attempts] == ["eu", "us"], value
                assert told.duration_s < 2.0, value
                here["eu"].heal()
                await leap(2.0)
                assert await asked_first(here) == "eu", value
                await leap(OTHER_DAY_S)

    run_skipping(main)


def test_h7_an_only_backend_is_never_slept_for_beyond_the_cap() -> None:
    """Another router slept 3.2 days on `277403`; two seconds are the most that a caller waits."""

    async def main() -> None:
        async with two("eu") as here:
            for value in [*INSANE, "61", "277403", "999999999999", 86_400]:
                said = in_(value) if isinstance(value, int) else value.encode().decode("latin-1")
                here["eu"].fault = Fault.status(429, headers={"retry-after": said})
                asked = here.sent("eu")
                with pytest.raises(openai.RateLimitError) as caught:
                    await here.chat()
                assert receipt(caught.value).duration_s < 5.0, value
                assert here.sent("eu") - asked <= 3, value
                await leap(OTHER_DAY_S)

    run_skipping(main)


@pytest.mark.parametrize("value", ["61", "277403", "999999999999", 86_400])
def test_h7_a_wish_beyond_the_cap_is_taken_for_a_quota(value: str | int) -> None:
    """No wait in line, no repeat; the backend is left alone for a while, and not for days."""

    async def main() -> None:
        async with two() as here:
            said = in_(value) if isinstance(value, int) else value
            here["eu"].fault = Fault.status(429, headers={"retry-after": said})
            told = receipt(await here.chat())
            assert [one.error for one in told.attempts] == ["429", None]
            assert told.duration_s < 2.0
            await left_alone(here, at_least_s=53.0, at_most_s=335.0)

    run_skipping(main)
