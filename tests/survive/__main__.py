"""Measure how we survive: `nox -s survive`, or `PYTHONPATH=tests python -m survive [--quick]`.

Load from 0.2 to 500 requests a second x faults x seeds in virtual time through the real router; the
textbook's breaker beside it; cancellations and deadlines on real sockets; the suite's property tests.
"""

from __future__ import annotations

import argparse
import json
import logging
import sys
import time
from dataclasses import asdict
from pathlib import Path

from survive import matrix, page, tables
from survive.bars import bars
from survive.leaks import cancellations, deadlines
from survive.properties import properties


def main() -> int:
    asked = _arguments()
    if asked.picture:
        from survive.picture import draw

        draw(asked.picture)
        return 0
    logging.getLogger("hybridllm").addHandler(logging.NullHandler())
    logging.getLogger("hybridllm").propagate = False
    began_s = time.perf_counter()
    cells = matrix.cells(quick=asked.quick, seeds=asked.seeds)
    brown_outs = matrix.brown_outs(quick=asked.quick)
    found = list(matrix.measured([*brown_outs, *cells], processes=asked.processes, progress=_tell))
    beside = matrix.textbook(brown_outs, processes=asked.processes)
    judged = bars(found)
    if not asked.simulation_only:
        _say("cancellations and deadlines ...")
        judged += deadlines(300 if asked.quick else 3_000)
        judged += cancellations(1_000 if asked.quick else 10_000)
        _say("property tests ...")
        judged += properties(quick=asked.quick)
    judged.sort(key=lambda bar: (bar.key[0] != "G", int(bar.key[1:])))
    shown = [
        tables.bars_table(judged),
        tables.textbook_table(brown_outs, found[: len(brown_outs)], beside),
        tables.cells_table(found),
    ]
    took_s = time.perf_counter() - began_s
    notes = tables.notes(found, took_s=took_s)
    print(tables.plain(shown, notes))
    if asked.markdown:
        asked.markdown.write_text(tables.markdown(shown, notes), encoding="utf-8")
    if asked.docs:
        page.write(tables.markdown(shown, notes, level=3))
    if asked.json:
        facts = {
            "bars": [asdict(bar) for bar in judged],
            "cells": [asdict(each) for each in found],
            "textbook": [asdict(each) for each in beside],
        }
        asked.json.write_text(json.dumps(facts, indent=1), encoding="utf-8")
    return int(asked.check and any(bar.met is False for bar in judged))


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="survive", description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="two loads, one seed; about a minute")
    parser.add_argument("--seeds", type=int, nargs="+", help="default: 1 2 3; with --quick 1")
    parser.add_argument("--simulation-only", action="store_true", help="without sockets and pytest")
    parser.add_argument("--processes", type=int, default=2, help="1 or 2")
    parser.add_argument("--json", type=Path, help="write every figure here")
    parser.add_argument(
        "--docs", action="store_true", help="write the tables into docs/survival.md"
    )
    parser.add_argument("--markdown", type=Path, help="write the tables here")
    parser.add_argument("--picture", type=Path, help="draw docs/survival.png, and nothing else")
    parser.add_argument("--check", action="store_true", help="exit 1 if a bar is not met")
    return parser.parse_args()


def _tell(done: int, whole: int) -> None:
    if sys.stderr.isatty():
        sys.stderr.write(f"\r{done} of {whole} simulations" + ("\n" if done == whole else ""))
    elif done % 20 == 0 or done == whole:
        _say(f"{done} of {whole} simulations")


def _say(text: str) -> None:
    sys.stderr.write(text + "\n")


if __name__ == "__main__":
    raise SystemExit(main())
