"""What was measured, round by round, and how rounds become figures.

A ratio is the median of the rounds' ratios, not the ratio of two medians: both sides of one round
ran within seconds of each other, on the same mood of the machine.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from statistics import median
from typing import Any


@dataclass(slots=True)
class Figures:
    """Every value of a run.

    Attributes:
        rounds: client -> figure (`chat16.cpu_us`) -> one value per round; None: that round failed.
        notes: What went wrong or was left out, for the foot of the report.
    """

    rounds: dict[str, dict[str, list[float | None]]] = field(default_factory=dict)
    versions: dict[str, dict[str, str]] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    def add(self, client: str, scenario: str, values: dict[str, float] | None) -> None:
        """Keep one round's values; call it once per client, scenario and round."""
        of_client = self.rounds.setdefault(client, {})
        if values is None:
            values = dict.fromkeys(_names(of_client, scenario), None)  # type: ignore[arg-type]
        for name, value in values.items():
            of_client.setdefault(f"{scenario}.{name}", []).append(value)

    def note(self, text: str) -> None:
        if text not in self.notes:
            self.notes.append(text)

    def value(self, client: str, figure: str) -> float | None:
        """The median over the rounds."""
        known = [one for one in self._rounds(client, figure) if one is not None]
        return median(known) if known else None

    def least(self, client: str, figure: str) -> float | None:
        known = [one for one in self._rounds(client, figure) if one is not None]
        return min(known) if known else None

    def ratio(self, client: str, other: str, figure: str, of: str | None = None) -> float | None:
        """The median over the rounds of client / other; `of`: the other's figure, if not the same."""
        pairs = zip(self._rounds(client, figure), self._rounds(other, of or figure), strict=False)
        ratios = [mine / its for mine, its in pairs if mine is not None and its]
        return median(ratios) if ratios else None

    def difference(self, client: str, other: str, figure: str) -> float | None:
        pairs = zip(self._rounds(client, figure), self._rounds(other, figure), strict=False)
        gaps = [mine - its for mine, its in pairs if mine is not None and its is not None]
        return median(gaps) if gaps else None

    def _rounds(self, client: str, figure: str) -> list[float | None]:
        return self.rounds.get(client, {}).get(figure, [])

    def to_dict(self) -> dict[str, Any]:
        medians = {
            client: {figure: self.value(client, figure) for figure in figures}
            for client, figures in self.rounds.items()
        }
        return {
            "medians": medians,
            "rounds": self.rounds,
            "versions": self.versions,
            "notes": self.notes,
        }


def _names(of_client: dict[str, list[float | None]], scenario: str) -> list[str]:
    return [key.split(".", 1)[1] for key in of_client if key.startswith(f"{scenario}.")]
