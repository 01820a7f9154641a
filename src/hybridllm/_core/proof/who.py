"""Whose data a request carries and what for: its tags and its task, every combination of them.

Both in one axis, because the tags that hold come from both: the request's own, its task's, those that its
session keeps.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import combinations
from typing import Any, NamedTuple

from hybridllm._core.decide.decide import own_tags, residency_tags
from hybridllm._core.decide.match import Subject, fits, holds
from hybridllm._core.decide.snapshot import EPOCH
from hybridllm._core.policy.compiled import Policy
from hybridllm._core.policy.conditions import Leaf, Text, When
from hybridllm._core.proof.atoms import NONE, Axis, Bits, text_labels, texts_of_patterns
from hybridllm._core.request.facts import Facts

WHO = "who"
OF_WHO = frozenset({"task", "bucket", "residency"})
KEPT_ALL_MAX = 5
"""Tags that sessions keep, up to which every combination of them is looked at; of more, pairs."""


class Carried(NamedTuple):
    """The tags that come with a request.

    Attributes:
        own: That it brings itself.
        kept: That its session keeps, others than that.
    """

    own: str | None
    kept: frozenset[str]


class Who(NamedTuple):
    """The combinations of a task and the tags that come with a request.

    The class of task number t and tags number g is bit `t * len(tags) + g`.

    Attributes:
        tasks: Each that can pass; None: no task.
        labels: What each is called: its name, or the pattern that it fits.
        pairs_only: True if a session can keep more tags at once than were looked at.
    """

    tasks: tuple[str | None, ...]
    labels: tuple[str, ...]
    tags: tuple[Carried, ...]
    pairs_only: bool

    @property
    def axis(self) -> Axis:
        """All combinations as an axis; its labels are told by task and tags, not here."""
        values = tuple((task, tags) for task in self.tasks for tags in self.tags)
        return Axis(WHO, values, ())

    def of_task(self, task: int) -> int:
        """Return the classes of a task."""
        return ((1 << len(self.tags)) - 1) << task * len(self.tags)

    def of_tags(self, tags: int) -> int:
        """Return the classes of a combination of tags."""
        width = len(self.tags)
        every_task = ((1 << len(self.tasks) * width) - 1) // ((1 << width) - 1)
        return every_task << tags

    def tasks_in(self, bits: int) -> tuple[int, ...]:
        """Return the tasks that have a class among these."""
        row = (1 << len(self.tags)) - 1
        return tuple(t for t in range(len(self.tasks)) if bits >> t * len(self.tags) & row)

    def fields(self, bit: int, policy: Policy) -> dict[str, Any]:
        """Return the facts of a class, as a request to this policy would bring them."""
        return _fields(policy, self.tasks[bit // len(self.tags)], self.tags[bit % len(self.tags)])


def who_of(policies: Sequence[Policy], leaves: Iterable[Leaf]) -> Who:
    """Return every task and every combination of tags that some policy knows.

    Raises:
        Entangled: If the patterns for tasks are.
    """
    declared = dict.fromkeys(task for policy in policies for task in policy.tasks)
    patterns = {
        one
        for leaf in leaves
        if isinstance(leaf, Text) and leaf.fact == "task"
        for one in leaf.patterns
    }
    found: dict[str, str] = {task: task for task in declared}
    if patterns:
        named = patterns.union(declared)
        for text, label in text_labels(texts_of_patterns("task", named), named):
            if any(fits(policy.known_tasks, (text,)) for policy in policies):
                found.setdefault(text, label)
    tags, pairs_only = _tags(policies)
    return Who((None, *found), (NONE, *found.values()), tags, pairs_only)


def _tags(policies: Sequence[Policy]) -> tuple[tuple[Carried, ...], bool]:
    own = dict.fromkeys(tag for policy in policies for tag in policy.residency)
    keeping = [tag for tag in own if any(_keeps(policy, tag) for policy in policies)]
    most = len(keeping) if len(keeping) <= KEPT_ALL_MAX else 2
    kept = [frozenset(some) for size in range(most + 1) for some in combinations(keeping, size)]
    ways = [Carried(tag, some) for some in kept for tag in (None, *own) if tag not in some]
    return tuple(ways), most < len(keeping)


def _keeps(policy: Policy, tag: str) -> bool:
    return tag in policy.residency and policy.residency[tag].taint_s is not None


def _fields(policy: Policy, task: str | None, carried: Carried) -> dict[str, Any]:
    kept = tuple(sorted(tag for tag in carried.kept if _keeps(policy, tag)))
    return {"task": task, "residency": carried.own, "taints": kept}


class Standing(NamedTuple):
    """What a policy makes of each class of `Who`.

    Attributes:
        bits: In which classes each condition on task, bucket or residency holds.
        effective: For each combination of tags that can hold, in order, the classes for which it does.
        passing: The classes that are not denied before any route is looked at.
    """

    bits: Bits
    effective: dict[tuple[str, ...], int]
    passing: int


def standing(who: Who, policy: Policy, leaves: Sequence[Leaf]) -> Standing:
    """Return what a policy makes of each class."""
    effective, untagged = _effective(who, policy)
    bits: Bits = {}
    for leaf in leaves:
        when = When((leaf,))
        bits[leaf] = 0
        if leaf.fact == "residency":
            for tags, where in effective.items():
                if holds(when, Subject(Facts(), tags, None, EPOCH)):
                    bits[leaf] |= where
        else:
            for number, name in enumerate(who.tasks):
                task = policy.tasks.get(name) if name is not None else None
                if holds(when, Subject(Facts(task=name), (), task, EPOCH)):
                    bits[leaf] |= who.of_task(number)
    passing = sum(
        where for tags, where in effective.items() if all(tag in policy.residency for tag in tags)
    )
    if policy.deny_untagged:
        passing &= ~untagged
    for number, name in enumerate(who.tasks):
        if name is not None and policy.known_tasks and not fits(policy.known_tasks, (name,)):
            passing &= ~who.of_task(number)
    return Standing(bits, effective, passing)


def _effective(who: Who, policy: Policy) -> tuple[dict[tuple[str, ...], int], int]:
    """Return which tags hold for which classes, and the classes that bring none; a task counts by its tag."""
    by_tag: dict[str | None, int] = {}
    for number, name in enumerate(who.tasks):
        declared = policy.tasks.get(name) if name is not None else None
        tag = declared.residency if declared is not None else None
        by_tag[tag] = by_tag.get(tag, 0) | who.of_task(number)
    example = {
        task.residency: name for name, task in policy.tasks.items() if task.residency is not None
    }
    found: dict[tuple[str, ...], int] = {}
    untagged = 0
    for number, carried in enumerate(who.tags):
        where = who.of_tags(number)
        for tag, of_tasks in by_tag.items():
            task = example.get(tag) if tag is not None else None
            facts = Facts(**_fields(policy, task, carried))
            held = tuple(sorted(residency_tags(policy, facts)))
            found[held] = found.get(held, 0) | where & of_tasks
            if not own_tags(policy, facts):
                untagged |= where & of_tasks
    return found, untagged
