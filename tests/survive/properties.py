"""G8, G11, G12, G15: the property tests of the suite, run for their counts."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

from survive.bars import Bar

TESTS = Path(__file__).parents[1]
_PASSED = re.compile(r"(\d+) passed")


def properties(*, quick: bool) -> list[Bar]:
    """Run the tests that stand for these figures, and tell how many cases they have."""
    from runtime.test_residency import POLICIES, REQUESTS_EACH

    residency = "runtime/test_residency.py"
    chosen = [f"{residency}::test_a_tag_holds_through_every_failover"] if quick else [residency]
    return [
        _row(
            "G11",
            "tagged data seen outside its set"
            + ("" if quick else f", {POLICIES * REQUESTS_EACH:,} random cases and all faults"),
            chosen,
        ),
        _row(
            "G12", "prompts and keys in errors, logs, spans, receipts", ["runtime/test_canaries.py"]
        ),
        _row(
            "G15",
            "broken answers and streams handed out as whole",
            ["runtime/test_odd_answers.py", "runtime/test_odd_streams.py"],
        ),
        _row("G8", "ledger rows lost or paid twice after kill -9", ["ledger/test_kill_nine.py"]),
    ]


def _row(key: str, what: str, chosen: list[str]) -> Bar:
    ran = subprocess.run(
        [
            sys.executable,
            "-m",
            "pytest",
            "-q",
            "-p",
            "no:cacheprovider",
            "--full",
            *(f"tests/{c}" for c in chosen),
        ],
        cwd=TESTS.parent,
        capture_output=True,
        text=True,
        check=False,
    )
    passed = _PASSED.search(ran.stdout)
    last = ran.stdout.strip().splitlines()[-1] if ran.stdout.strip() else ran.stderr[-200:]
    if ran.returncode:
        return Bar(key, what, "0", last, met=False)
    return Bar(key, what, "0", f"0; {passed[1] if passed else '?'} tests", met=True)
