"""What we believe of a backend's queue: what it told last, and our own requests since.

Whoever goes by the last report alone sends everything, until the next one, to the server that was idle then.
So our own requests that were sent since count as there, and those that ended as gone. What others sent to a
server that we share is not seen until it tells of it.

A report may also be late, or wrong; it has no time in it. What is ours we know: a page that shows fewer
requests than ours that have long been there, or whose counters stand still while answers come, is not
believed for a while, and what we know ourselves counts alone. Unknown stays None.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from hybridllm._core.telemetry.report import LoadReport

SETTLED_S = 1.0
"""A request of ours that is so old has arrived, and is on the page."""
DOUBTED_S = 300.0
"""So long a page is not believed after it was wrong."""
FROZEN_S = 6.0
"""An engine that has requests and takes no step for so long is frozen."""
FROZEN_MEMORY_S = 30.0
"""So long it counts as frozen when none of ours is there any more to show it."""

UNSEEN_SLOTS = 32.0
"""Where slots were not seen: so many there are, or twice as many as run; what is sent beyond may wait."""

_MISSED_MIN, _MISSED_SHARE = 2.0, 0.2  # of ours that are not on the page, so that it is wrong
_STILL_S = 2.0


@dataclass(frozen=True, slots=True)
class Asked:
    """What we knew when a report was asked for.

    Attributes:
        at_s: Monotonic.
        sent: Our requests so far.
        answered: First tokens and whole answers so far.
    """

    at_s: float
    sent: int
    answered: int


@dataclass(frozen=True, slots=True)
class Heard:
    """The last report, and how it agrees with what we know.

    Attributes:
        report: What it told.
        at_s: When it came.
        page_at_s: When the last page came; a report in an answer's head is none.
        sent: Of our requests, those sent before it was asked for: those after may not be in it.
        ended: Those that had ended before it came: those after may be in it.
        stepped_at_s: When its counter of steps was last seen to move.
        answered: Of our first tokens and answers, those that had come then.
        missed: How many pages in a row did not show requests of ours.
        doubted_until_s: The page is not believed until then.
        frozen_at_s: When requests of ours last showed that it takes no step; None: it does.
    """

    report: LoadReport
    at_s: float
    page_at_s: float
    sent: int
    ended: int
    stepped_at_s: float
    answered: int
    missed: int = 0
    doubted_until_s: float = float("-inf")
    frozen_at_s: float | None = None

    def doubted(self, now_s: float) -> bool:
        """Whether its page is not believed."""
        return now_s < self.doubted_until_s or self.still

    @property
    def still(self) -> bool:
        """Whether its page has told the same for so long that it tells nothing, although requests run."""
        report = self.report
        if report.steps is None or not (report.running or report.waiting):
            return False
        return self.page_at_s - self.stepped_at_s >= FROZEN_S


@dataclass(frozen=True, slots=True)
class Belief:
    """What we believe of a backend now.

    Attributes:
        running: Requests that it works on; None: unknown, as is `waiting`.
        waiting: Requests in its queue.
        free: How many more it could work on at once, at most; None: not known, and nobody waits.
    """

    running: float | None = None
    waiting: float | None = None
    free: float | None = None

    @property
    def full(self) -> bool:
        """Whether one that comes now would have to wait."""
        return self.free is not None and self.free < 1


def after_page(
    before: Heard | None,
    report: LoadReport,
    asked: Asked,
    *,
    ended: int,
    settled: int,
    stuck_s: float,
    now_s: float,
) -> Heard:
    """Return what was heard, with a page that came now.

    Args:
        before: What was heard before; None: nothing, or of another process at the same address.
        report: What the page tells; something.
        asked: What we knew when it was asked for.
        ended: Our requests that have ended.
        settled: Our requests under way that had been there for `SETTLED_S` when it was asked for.
        stuck_s: For how long ours have been there, and nothing came of any of them.
        now_s: Monotonic.
    """
    if before is None:
        return Heard(report, now_s, now_s, asked.sent, ended, now_s, asked.answered)
    stepped = report.steps is None or report.steps != before.report.steps
    stepped_at_s, answered = before.stepped_at_s, before.answered
    if stepped:
        stepped_at_s, answered = now_s, asked.answered
    still_s = now_s - stepped_at_s
    missed = before.missed + 1 if _misses(report, settled) else 0
    doubted_until_s = before.doubted_until_s
    if missed >= 2 or (still_s >= _STILL_S and asked.answered >= answered + 2):
        doubted_until_s = now_s + DOUBTED_S
    return Heard(
        report,
        now_s,
        now_s,
        asked.sent,
        ended,
        stepped_at_s,
        answered,
        missed,
        doubted_until_s,
        _frozen_at_s(before, report, still_s=still_s, stuck_s=stuck_s, now_s=now_s),
    )


def after_header(
    before: Heard | None,
    report: LoadReport,
    running: float | None,
    *,
    sent: int,
    ended: int,
    now_s: float,
) -> Heard:
    """Return what was heard, with a report in an answer's head: it tells what waits, not what runs.

    Args:
        before: What was heard before; None: nothing.
        report: What the head tells.
        running: What is believed to run.
        sent: Our requests so far.
        ended: Those that have ended.
        now_s: Monotonic.
    """
    if before is None:
        return Heard(report, now_s, now_s, sent, ended, now_s, 0)
    if before.report.engines > 1:
        return before  # nobody says of which engine it is
    told = before.report
    waiting = told.waiting if report.waiting is None else report.waiting
    kv_used = told.kv_used if report.kv_used is None else report.kv_used
    told = replace(told, running=running, waiting=waiting, kv_used=kv_used)
    return replace(before, report=told, at_s=now_s, sent=sent, ended=ended)


def believed(
    heard: Heard | None,
    *,
    sent: int,
    ended: int,
    in_flight: int,
    overdue: int,
    room: float | None,
    now_s: float,
) -> Belief:
    """Return what we believe of a backend's queue.

    Args:
        heard: The last report; None: nothing, or nothing that may still be believed.
        sent: Our requests so far.
        ended: Those that have ended.
        in_flight: Our requests under way.
        overdue: Of them, those that wait for a first token far longer than is usual there.
        room: How many it works on at once, as was seen; None: not seen.
        now_s: Monotonic.
    """
    if heard is None or (heard.report.running is None and heard.report.waiting is None):
        return _by_our_own(in_flight, overdue, room, waiting=None)
    running, waiting = heard.report.running, heard.report.waiting or 0.0
    if heard.doubted(now_s):
        told = None if heard.still else waiting
        return _by_our_own(in_flight, overdue, room, waiting=told)
    since = (sent - heard.sent) - (ended - heard.ended)
    if running is None:
        there = waiting + since if waiting > 0 else 0.0
        there = max(0.0, there, float(overdue))
        return Belief(None, there, _free(None, 0.0, there))
    total = max(float(in_flight), running + waiting + since)
    if waiting > 0:
        slots = running
    elif room is not None:
        slots = max(room, running)
    else:
        slots = max(UNSEEN_SLOTS, 2.0 * running)
    queued = max(0.0, total - slots)
    queued = max(queued, float(overdue))
    return Belief(max(0.0, total - queued), queued, _free(slots, total, queued))


def _by_our_own(
    in_flight: int, overdue: int, room: float | None, *, waiting: float | None
) -> Belief:
    """What we believe where our own requests are all we know, but for what waits, as a doubtful page says."""
    beyond = 0.0 if room is None else max(0.0, in_flight - room)
    queued = max(waiting or 0.0, beyond, float(overdue))
    free = _free(room, in_flight, queued)
    if waiting is None:  # of others nothing is known
        return Belief(None, queued or None, free)
    return Belief(max(0.0, in_flight - queued), queued, free)


def _free(slots: float | None, total: float, queued: float) -> float | None:
    if queued > 0:
        return 0.0
    return None if slots is None else max(0.0, slots - total)


def _misses(report: LoadReport, settled: int) -> bool:
    """Whether a page shows clearly fewer requests than we have there."""
    if report.running is None or report.waiting is None:
        return False
    missing = settled - report.running - report.waiting
    return missing >= max(_MISSED_MIN, _MISSED_SHARE * settled)


def _frozen_at_s(
    before: Heard, report: LoadReport, *, still_s: float, stuck_s: float, now_s: float
) -> float | None:
    """When it was last seen to be frozen; None: it is not.

    Its page alone shows nothing: a gauge that is stuck at one looks the same. Ours must be stuck too.
    """
    if not report.running or still_s < FROZEN_S:
        return None
    if stuck_s >= FROZEN_S:
        return now_s
    at_s = before.frozen_at_s
    return at_s if at_s is not None and now_s - at_s < FROZEN_MEMORY_S else None
