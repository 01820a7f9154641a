"""Whether the names in a policy's tests are names of the policy: a misspelt one would test nothing.

A request may well bring a task, a tag or a model that the policy does not know, if just that is to be
denied. Nobody else may: neither the world nor what is expected.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from typing import NamedTuple

from hybridllm._core.decide.decide import PINNED
from hybridllm._core.decide.given import OWN
from hybridllm._core.decide.match import fits
from hybridllm._core.policy.compiled import Policy
from hybridllm._core.policy.document import Findings, Node, Path, key_place, quoted, value_place
from hybridllm._core.policy.schema_tests import PLAIN, CaseSpec, ExpectSpec, GivenSpec

_NAMES_SHOWN_MAX = 20


class _Use(NamedTuple):
    """A name where a case uses it, and the names that would be right there."""

    what: str
    name: str
    known: Collection[str]
    path: Path
    is_key: bool = False


def check_names(
    specs: tuple[CaseSpec, ...], root: Node, policy: Policy, findings: Findings
) -> None:
    """Tell of every name in the cases that the policy does not know."""
    names = _Names.of(policy)
    for index, spec in enumerate(specs):
        path: Path = ("tests", index)
        uses = [*names.of_expected(spec.expect, path)]
        if spec.given is not PLAIN:  # which names nothing
            uses += names.of_world(spec.given, path)
            if not spec.expect.denial:
                uses += names.of_request(spec.given, policy, path)
        for use in uses:
            if use.name in use.known:
                continue
            place = (key_place if use.is_key else value_place)(root, use.path)
            findings.error(place, use.path, _unknown(use, findings))


@dataclass(frozen=True, slots=True)
class _Names:
    """The names of a policy, by what they name."""

    backends: Collection[str]
    models: Collection[str]
    served: Collection[str]
    candidates: Collection[str]
    routes: Collection[str]
    tags: Collection[str]
    tasks: frozenset[str]
    spaces: Collection[str]
    budgets: Collection[str]

    @classmethod
    def of(cls, policy: Policy) -> _Names:
        return cls(
            policy.backends.keys(),
            policy.models.keys(),
            policy.candidates.keys(),
            [one.name for served in policy.candidates.values() for one in served],
            [*(route.name for route in policy.routes), PINNED],
            policy.residency.keys(),
            policy.known_tasks,
            {model.vector_space for model in policy.models.values() if model.vector_space},
            [budget.name for budget in policy.budgets],
        )

    def of_request(self, given: GivenSpec, policy: Policy, path: Path) -> Iterator[_Use]:
        """Yield what the policy would deny for its name alone."""
        path = (*path, "given")
        if given.task is not None and self.tasks and not fits(policy.known_tasks, (given.task,)):
            yield _Use("task", given.task, self.tasks, (*path, "task"))
        if given.residency is not None:
            yield _Use("residency tag", given.residency, self.tags, (*path, "residency"))
        if given.model is not None and not fits(self.tasks, (given.model,)):
            yield _Use("model", given.model, self.served, (*path, "model"))
        if given.vector_space is not None:
            yield _Use("vector space", given.vector_space, self.spaces, (*path, "vector_space"))

    def of_world(self, given: GivenSpec, path: Path) -> Iterator[_Use]:
        """Yield what stands for something that is there: backends, candidates, what was carried."""
        path = (*path, "given")
        for index, tag in enumerate(given.carried or ()):
            yield _Use("residency tag", tag, self.tags, (*path, "carried", index))
        for index, name in enumerate(given.down):
            yield _Use("backend", name, self.backends, (*path, "down", index))
        for name in given.in_flight:
            yield _Use("backend", name, self.backends, (*path, "in_flight", name), is_key=True)
        for name in given.load:
            if name != OWN:
                yield _Use("backend", name, self.backends, (*path, "load", name), is_key=True)
        for name in given.spent:
            yield _Use("budget", name, self.budgets, (*path, "spent", name), is_key=True)
        for index, said in enumerate(given.volume):
            yield from self._of_scope(said.of or "", (*path, "volume", index, "of"))
        for key in ("ttft_ms", "total_ms"):
            for name in getattr(given, key):
                whole = "/" not in name
                what = "backend" if whole else "candidate"
                known = self.backends if whole else self.candidates
                yield _Use(what, name, known, (*path, key, name), is_key=True)

    def _of_scope(self, scope: str, path: Path) -> Iterator[_Use]:
        """Yield what a volume is of, if that is something of the policy."""
        kind, _, name = scope.partition(":")
        known = {"backend": self.backends, "model": self.models, "route": self.routes}.get(kind)
        if name and known is not None:
            yield _Use(kind, name, known, path)

    def of_expected(self, expect: ExpectSpec, path: Path) -> Iterator[_Use]:
        """Yield the names that are expected, or expected not to be."""
        path = (*path, "expect")
        for key, what, name, known in (
            ("route", "route", expect.route, self.routes),
            ("backend", "backend", expect.backend, self.backends),
            ("model", "model", expect.model, self.models),
            ("escalates_to", "model", expect.escalates_to, self.models),
        ):
            if name is not None:
                yield _Use(what, name, known, (*path, key))
        for index, name in enumerate(expect.candidates or ()):
            yield _Use("candidate", name, self.candidates, (*path, "candidates", index))
        for index, name in enumerate(expect.never or ()):
            yield _Use("backend", name, self.backends, (*path, "never", index))


def _unknown(use: _Use, findings: Findings) -> str:
    known = sorted(use.known)
    more = f" and {len(known) - _NAMES_SHOWN_MAX} more" if len(known) > _NAMES_SHOWN_MAX else ""
    listed = ", ".join(known[:_NAMES_SHOWN_MAX]) + more or "none"
    return f"unknown {use.what} {quoted(use.name)}; known: {listed}{findings.hint(use.name, known)}"
