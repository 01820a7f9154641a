"""Play the runs of docs/hybrid.md: `nox -s hybrid`, or `PYTHONPATH=tests python -m hybrid [--docs]`.

Bursts through the real router in virtual time, with metrics that are true and metrics that are not; a cold
start; their figures as tables, and with `--docs` the tables and the pictures of the page.
"""

from __future__ import annotations

import argparse
import logging
import time

from hybrid import bursts, page, sleeps


def main() -> int:
    parser = argparse.ArgumentParser(prog="hybrid")
    parser.add_argument("--docs", action="store_true", help="write tables and pictures into docs")
    parser.add_argument("--seeds", type=int, default=3, metavar="N", help="of each burst")
    asked = parser.parse_args()
    logging.getLogger("hybridllm").addHandler(logging.NullHandler())
    logging.getLogger("hybridllm").propagate = False
    began_s = time.perf_counter()
    rows = []
    for burst in bursts.BURSTS:
        for seed in range(1, asked.seeds + 1):
            rows.append((burst, seed, bursts.figures(bursts.with_seed(burst, seed))))
            print(page.line(*rows[-1]), flush=True)
    journeys, fleet = sleeps.play()
    slept = sleeps.figures(journeys, fleet)
    print(page.slept_line(slept))
    if asked.docs:
        from hybrid import picture

        page.write(rows, slept)
        picture.draw_burst(page.DOCS / "hybrid-burst.png")
        picture.draw_year(page.DOCS / "hybrid-volume.png")
        picture.draw_sleep(journeys, slept, page.DOCS / "hybrid-cold-start.png")
    print(f"{time.perf_counter() - began_s:.0f} s")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
