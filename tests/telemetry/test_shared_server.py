"""What routers believe, put to the test: a burst on a server with slots, its pages good and bad.

In steps of ten milliseconds, with nothing but the core: a request goes to the server unless it is believed to
be saturated, and elsewhere otherwise.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import pytest

from hybridllm._core.telemetry.report import LoadReport
from telemetry.shared_server import Router, Server, run, shared

Page = Callable[[Server, float], LoadReport | None]
_FROM_S, _UNTIL_S, _END_S = 12.0, 42.0, 62.0


@dataclass
class Outcome:
    """Of a burst of three times what the server can do, and seven tenths of it before and after."""

    server: Server
    routers: list[Router]

    @property
    def overflow(self) -> float:
        return self._share(_FROM_S, _UNTIL_S)

    @property
    def overflow_after(self) -> float:
        return self._share(_UNTIL_S + 5.0, _END_S)

    @property
    def wait_s_p95(self) -> float:
        waits = sorted(waited for sent_at_s, waited in self.server.waits if sent_at_s >= _FROM_S)
        return waits[int(0.95 * len(waits))]

    def _share(self, from_s: float, until_s: float) -> float:
        stayed, left = (
            sum(from_s <= at_s < until_s for times in each for at_s in times)
            for each in (
                [one.sent for one in self.routers],
                [one.overflowed for one in self.routers],
            )
        )
        return left / (stayed + left)


def burst(page: Page = lambda server, _: server.page(), routers: int = 1) -> Outcome:
    server, made = shared(routers, page=page)
    can = server.slots / server.service_s
    run(server, made, _END_S, lambda now_s: can * (3.0 if _FROM_S <= now_s < _UNTIL_S else 0.7))
    return Outcome(server, made)


def late(server: Server, _: float) -> LoadReport:
    return server.page(late_s=18.0)


def lying(server: Server, _: float) -> LoadReport:
    return replace(server.page(), running=1.0, waiting=0.0)


def frozen(at_s: float) -> Page:
    held: list[LoadReport] = []

    def page(server: Server, now_s: float) -> LoadReport:
        if now_s >= at_s and not held:
            held.append(server.page())
        return held[0] if held else server.page()

    return page


@pytest.mark.parametrize(
    "page",
    [
        pytest.param(lambda server, _: server.page(), id="good"),
        pytest.param(lambda *_: None, id="none-from-the-start"),
        pytest.param(late, id="18-s-late"),
        pytest.param(lying, id="lying"),
        pytest.param(frozen(6.0), id="frozen-before"),
        pytest.param(frozen(20.0), id="frozen-meanwhile"),
    ],
)
def test_a_burst_leaves_as_far_as_it_is_too_much_and_comes_back(page: Page) -> None:
    """Two thirds are too much; few wait long, and the server is not left idle. Whatever its page says."""
    found = burst(page)
    assert 0.60 <= found.overflow <= 0.80
    assert found.overflow_after <= 0.35
    assert found.wait_s_p95 <= 1.5
    assert found.server.queue_most <= 12  # what is sent in half a second, the first time
    assert found.server.busy / _END_S >= 0.65


def test_routers_that_share_a_server_do_not_fall_upon_it_together() -> None:
    """Four of them, that know nothing of each other: the queue stays short, at the price of a little room."""
    found = burst(routers=4)
    assert 0.60 <= found.overflow <= 0.80
    assert found.wait_s_p95 <= 1.5
    assert found.server.queue_most <= 8


def test_a_server_whose_page_has_died_is_left_alone() -> None:
    """Five seconds after its last word, for as long as it is silent."""
    found = burst(lambda server, now_s: None if 20.0 <= now_s < 45.0 else server.page())
    (router,) = found.routers
    assert not any(26.0 <= at_s < 45.0 for at_s in router.sent)
    assert any(at_s > 47.0 for at_s in router.sent)


def test_an_engine_that_freezes_gets_next_to_nothing() -> None:
    """Its page goes on saying that all is well; when it goes on, so do we."""
    server, made = shared(1)
    (router,) = made

    def freeze(now_s: float) -> None:
        server.frozen = 10.0 <= now_s < 25.0

    run(server, made, 40.0, lambda _: 2.8, freeze)
    assert sum(10.0 <= at_s < 25.0 for at_s in router.sent) <= 5
    assert sum(at_s >= 27.0 for at_s in router.sent) >= 15


def test_the_predicted_wait_is_the_wait() -> None:
    """Requests queue on purpose; each is told beforehand how long it will take."""
    server, (router,) = shared(1, waiting_max=None)
    predicted: dict[float, float] = {}

    def predict(now_s: float) -> None:
        one = router.watched
        wait_s = one.judged(one.sent - one.ended, now_s).wait_s
        if wait_s is not None:
            predicted[now_s] = wait_s

    run(server, [router], 30.0, lambda now_s: 4.0 if now_s < 12.0 else 5.0, predict)
    pairs = [(predicted[at_s], waited) for at_s, waited in server.waits if 12.0 < at_s in predicted]
    assert len(pairs) > 40
    worst = max(waited for _, waited in pairs)
    errors = [abs(expected - waited) for expected, waited in pairs]
    assert worst > 2.0
    assert sum(errors) / len(errors) < 0.25 * worst
