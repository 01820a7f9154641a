"""The proof as values: which residency tag reaches which backend, by which routes, for which tasks.

A row holds every request that carries its tag, whatever other tags it carries too. Made by `fold.py`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Way:
    """How requests come to a backend.

    Attributes:
        route: That leads there; `(pinned)`: the caller names a model.
        capability: That the requests need; None: nothing beyond text.
        tasks: Of the requests; None among them: without a task. A pattern stands for the tasks that fit it.
        models: That they are sent to there.
    """

    route: str
    capability: str | None
    tasks: tuple[str | None, ...]
    models: tuple[str, ...]

    def to_dict(self) -> dict[str, Any]:
        """Return it ready for JSON."""
        return {
            "route": self.route,
            "capability": self.capability,
            "tasks": list(self.tasks),
            "models": list(self.models),
        }


@dataclass(frozen=True, slots=True)
class Cell:
    """What a residency tag says of a backend.

    Attributes:
        reason: Why it may never be reached, in a word: `region`, `terms`, `environment`; None: it may.
        detail: The same in a sentence.
        ways: How it is reached; none at all: it may be, and nothing leads there.
    """

    backend: str
    reason: str | None
    detail: str | None
    ways: tuple[Way, ...]

    @property
    def allowed(self) -> bool:
        """Whether it may be reached."""
        return self.reason is None

    @property
    def routes(self) -> tuple[str, ...]:
        """The routes that lead there, in the order of the file; `(pinned)` comes last."""
        return tuple(dict.fromkeys(way.route for way in self.ways))

    def to_dict(self) -> dict[str, Any]:
        """Return it ready for JSON."""
        return {
            "backend": self.backend,
            "allowed": self.allowed,
            "reason": self.reason,
            "detail": self.detail,
            "routes": list(self.routes),
            "ways": [way.to_dict() for way in self.ways],
        }


@dataclass(frozen=True, slots=True)
class Row:
    """What requests with a residency tag can reach.

    Attributes:
        tag: None: requests that carry no tag at all.
        cells: One for each backend that serves a model.
    """

    tag: str | None
    cells: tuple[Cell, ...]

    def cell(self, backend: str) -> Cell:
        """Return what is said of a backend.

        Raises:
            KeyError: If it serves no model.
        """
        for cell in self.cells:
            if cell.backend == backend:
                return cell
        raise KeyError(backend)

    def to_dict(self) -> dict[str, Any]:
        """Return it ready for JSON."""
        return {"tag": self.tag, "backends": [cell.to_dict() for cell in self.cells]}


@dataclass(frozen=True, slots=True)
class Limited:
    """What requests can reach that a constraint holds for.

    Attributes:
        when: For which requests it holds, in words.
        cells: As in a row; `reason` is `constraint` where it keeps a backend out.
    """

    constraint: str
    when: str
    cells: tuple[Cell, ...]

    def to_dict(self) -> dict[str, Any]:
        """Return it ready for JSON."""
        cells = [cell.to_dict() for cell in self.cells]
        return {"constraint": self.constraint, "when": self.when, "backends": cells}


@dataclass(frozen=True, slots=True)
class Unserved:
    """Requests that are denied, whatever else is true of them, unless they pin a model.

    Attributes:
        tags: Each by itself; None: no tag.
        tasks: Empty: all. None among them: without a task.
        capability: That they need; None: nothing beyond text.
        rules: What denies them: `residency 'phi'`, `no route matches`.
    """

    tags: tuple[str | None, ...]
    tasks: tuple[str | None, ...]
    capability: str | None
    rules: tuple[str, ...]

    def to_dict(self) -> dict[str, Any]:
        """Return it ready for JSON."""
        return {
            "tags": list(self.tags),
            "tasks": list(self.tasks) if self.tasks else None,
            "capability": self.capability,
            "rules": list(self.rules),
        }


@dataclass(frozen=True, slots=True)
class ReachMatrix:
    """Which backends requests can reach at all: by every route, fallback, split and pinned model.

    Attributes:
        environment: That it holds for.
        rows: One for each residency tag; the last for requests without any, if they are not denied.
        constraints: One for each that is enforced.
        unserved: What is denied.
        decisions: How many requests were decided, one of each kind, to find this out.
        notes: Why it is not exact; none: it is. Then too much is shown rather than too little.
    """

    policy: str
    version: str
    environment: str
    rows: tuple[Row, ...]
    constraints: tuple[Limited, ...]
    unserved: tuple[Unserved, ...]
    decisions: int
    notes: tuple[str, ...]

    @property
    def exact(self) -> bool:
        """Whether everything that is shown can happen, and nothing else."""
        return not self.notes

    def row(self, tag: str | None) -> Row:
        """Return what requests with a tag can reach.

        Raises:
            KeyError: If there is no such tag; for None: if requests without a tag are denied, or carry the
                policy's default.
        """
        for row in self.rows:
            if row.tag == tag:
                return row
        raise KeyError(tag)

    def to_dict(self) -> dict[str, Any]:
        """Return it ready for JSON."""
        return {
            "environment": self.environment,
            "exact": self.exact,
            "notes": list(self.notes),
            "decisions": self.decisions,
            "rows": [row.to_dict() for row in self.rows],
            "constraints": [one.to_dict() for one in self.constraints],
            "unserved": [one.to_dict() for one in self.unserved],
        }
