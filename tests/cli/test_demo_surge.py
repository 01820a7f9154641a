"""`hybridllm demo`, its second act: a burst leaves and comes back, a machine sleeps and is woken."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest
from rich.console import Console
from typer.testing import Result

from hybridllm.cli.demo.run import Course
from hybridllm.cli.demo.surge.act import Phase
from hybridllm.cli.demo.surge.picture import picture
from hybridllm.cli.demo.surge.traffic import PHI_EVERY, timetable, traffic
from hybridllm.cli.demo.surge.without import first_tokens_s
from hybridllm.cli.demo.surge.world import MACHINE, Speed, open_world


def test_the_surplus_leaves_and_health_data_never_does(hybridllm: Callable[..., Result]) -> None:
    """Both acts in one JSON object; the figures fit together, and nothing unexpected happened."""
    done = hybridllm("demo", "--json", "--requests", "20", "--seconds", "1.2")

    assert (done.exit_code, done.stderr) == (0, "")
    told = json.loads(done.stdout)
    surge = told["surge"]
    assert (told["ok"], told["requests"], surge["ok"]) == (True, 20, True)
    assert surge["unexpected"] == []
    assert sum(surge["endings"].values()) == surge["requests"] > 30
    for spell in (surge["burst"], surge["asleep"]):
        assert spell["left"] > 0
        assert spell["tagged_left"] == 0
        assert spell["tagged"] == spell["tagged_answered"] + spell["tagged_later"]
        assert float(spell["cost_usd"]) > 0
    assert 0.0 < surge["ideal_share"] < 1.0  # less on a busy machine: the burst takes longer


def test_the_second_act_is_told_in_words(hybridllm: Callable[..., Result]) -> None:
    """What left and at what price, what it would have been without, that the machine slept, and of `phi`."""
    done = hybridllm("demo", "--act", "2", "--seconds", "1")

    assert done.exit_code == 0, done.stdout
    assert "region down" not in done.stdout
    for words in (
        "SIMULATED",
        "of the burst left",
        "Had nobody left",
        "slept",
        "the tag phi",
        "none of them",
    ):
        assert words in done.stdout


@pytest.mark.parametrize("columns", [80, 130])
@pytest.mark.parametrize("phase", Phase)
async def test_its_picture_fits_a_terminal(columns: int, phase: Phase) -> None:
    """In a narrow one it has fewer columns; a state is a word, so colours may be missing."""
    async with open_world(seed=1) as world:
        world.sleep()
        out = Console(width=columns, markup=False, highlight=False, emoji=False)
        with out.capture() as captured:
            out.print(picture(Course(208, 7.0, phase), world, columns))
    shown = captured.get()
    assert "ASLEEP" in shown
    assert ("1st token" in shown) is (columns == 130)
    assert max(len(line.rstrip()) for line in shown.splitlines()) <= columns


def test_the_same_seed_asks_the_same_and_tags_every_eighth() -> None:
    """A burst asks three times what the machine can; nobody asks while it falls asleep."""
    times = timetable(10.0)
    asks = traffic(times, seed=3)

    assert asks == traffic(times, seed=3)
    assert asks != traffic(times, seed=4)
    assert [ask.at_s for ask in asks] == sorted(ask.at_s for ask in asks)
    assert sum(ask.residency == "phi" for ask in asks) == pytest.approx(
        len(asks) / PHI_EVERY, abs=1
    )
    burst = [ask for ask in asks if times.burst_s < ask.at_s < times.after_s]
    per_s = len(burst) / (times.after_s - times.burst_s)
    assert per_s == pytest.approx(3 * MACHINE.requests_per_s, rel=0.05)
    assert not any(times.quiet_s < ask.at_s < times.again_s for ask in asks)


def test_without_overflow_requests_wait_for_one_slot_after_the_other() -> None:
    """Two slots, answers of a second: the third waits for the first, the fifth for two of them."""
    machine = Speed(first_token_s=1.0, tokens_per_s=1e9, slots=2)
    assert machine.requests_per_s == pytest.approx(2.0)
    waits_s = first_tokens_s([0.0, 0.0, 0.0, 0.5, 0.5], machine)
    assert waits_s == pytest.approx([1.0, 1.0, 2.0, 1.5, 2.5], abs=1e-6)
    assert first_tokens_s([1.0], machine, away_until_s=5.0) == pytest.approx([5.0], abs=1e-6)
