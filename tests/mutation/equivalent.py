"""Mutants that change nothing that anybody could see, and why: (file, line, change) -> reason."""

from __future__ import annotations

EQUIVALENT: dict[tuple[str, int, str], str] = {}
