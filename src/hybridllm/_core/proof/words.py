"""Classes of requests in words: only the facts that matter, by the names that the policies give them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from hybridllm._core.policy.conditions import METADATA
from hybridllm._core.proof.atoms import OTHER, Axis
from hybridllm._core.proof.boxes import Box
from hybridllm._core.proof.live import LIVE
from hybridllm._core.proof.space import ASK_AT, WHO_AT, Space
from hybridllm._core.proof.who import Carried, Who

NAMES_SHOWN_MAX = 8
EVERY = "every request"


def box_words(space: Space, box: Box, universe: Box) -> Iterator[str]:
    """Yield what the requests in a box have in common, in as many lines as it takes.

    Args:
        space: The facts.
        box: The requests.
        universe: All requests that there are.
    """
    rest = [
        _axis_words(axis, box[place], universe[place])
        for place, axis in enumerate(space.axes)
        if place not in (WHO_AT, ASK_AT) and box[place] != universe[place]
    ]
    ask = _ask_words(space, box[ASK_AT])
    for who in _who_words(space.who, box[WHO_AT], universe[WHO_AT]):
        yield ", ".join(part for part in (*who, ask, *rest) if part) or EVERY


def _ask_words(space: Space, classes: int) -> str:
    """Tell what is asked for, if it is not all the same; plain chat is what goes without saying."""
    asks = [ask for place, ask in enumerate(space.asks) if classes >> place & 1]
    spaces = sorted({ask.space for ask in asks if ask.space is not None})
    told = " or ".join(dict.fromkeys(ask.label for ask in asks if ask.label))
    words = [f"capability {told}"] if told else []
    if spaces and all(ask.space for ask in asks):
        words.append(f"vector space {' or '.join(spaces)}")
    streams = {ask.stream for ask in asks}
    if streams != {ask.stream for ask in space.asks if ask.operation == "chat"} and not told:
        words.append("as a stream" if True in streams else "not as a stream")
    return ", ".join(words)


def _axis_words(axis: Axis, classes: int, universe: int) -> str:
    if axis.fact == LIVE:
        return _listed(_labels(axis, classes))
    name = axis.fact.replace("_", " ")
    if axis.fact.startswith(METADATA):
        name = f"metadata {axis.fact.removeprefix(METADATA)}"
    inside = _labels(axis, classes)
    outside = _labels(axis, universe & ~classes)
    if OTHER in inside and OTHER not in outside:
        return f"{name} other than {_listed(outside)}"
    return f"{name} {_listed(inside)}"


def _labels(axis: Axis, classes: int) -> list[str]:
    found = (labels for place, labels in enumerate(axis.labels) if classes >> place & 1)
    return [label for labels in found for label in labels]


def _who_words(who: Who, classes: int, universe: int) -> Iterator[list[str]]:
    """Yield tasks and tags; tasks that come with the same tags are told together."""
    row = (1 << len(who.tags)) - 1
    by_tags: dict[tuple[int, int], list[int]] = {}
    for task in range(len(who.tasks)):
        shift = task * len(who.tags)
        tags, every = classes >> shift & row, universe >> shift & row
        if tags:
            by_tags.setdefault((tags, every), []).append(task)
    possible = who.tasks_in(universe)
    for (tags, every), tasks in by_tags.items():
        words = []
        if len(tasks) < len(possible):
            rest = [task for task in possible if task not in tasks]
            words.append(_task_words(who, tasks, rest))
        if tags != every:
            carried = [one for place, one in enumerate(who.tags) if tags >> place & 1]
            words.append(_tag_words(carried))
        yield words


def _task_words(who: Who, tasks: list[int], rest: list[int]) -> str:
    if len(rest) < len(tasks) and len(rest) <= NAMES_SHOWN_MAX and 0 in tasks:
        return f"task other than {_listed(who.labels[task] for task in rest)}"
    told = _listed(who.labels[task] for task in tasks if task)
    return (
        f"task {told}" + (" or none" if told and 0 in tasks else "") if told else "without a task"
    )


def _tag_words(carried: Iterable[Carried]) -> str:
    """Tell which tags come with requests; those that sessions keep, if that makes a difference."""
    by_own: dict[str | None, set[frozenset[str]]] = {}
    for one in sorted(carried, key=lambda one: one.own is None):  # none comes last
        by_own.setdefault(one.own, set()).add(one.kept)
    names = ["none" if own is None else own for own in by_own]
    told = _listed(name for name in names if name != "none")
    told = f"{told} or none" if told and "none" in names else told
    words = f"residency {told}" if told else "without a residency tag"
    if any(frozenset() in kept for kept in by_own.values()):
        return words
    sessions = sorted({" and ".join(sorted(one)) for kept in by_own.values() for one in kept})
    return f"{words}, in a session that keeps {' or '.join(sessions)}"


def _listed(names: Iterable[str]) -> str:
    names = list(names)
    more = len(names) - NAMES_SHOWN_MAX
    return ", ".join(names[:NAMES_SHOWN_MAX]) + (f" and {more} more" if more > 0 else "")
