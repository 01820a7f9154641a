"""A process that holds one client, kept alive so that import and warm-up are not counted.

Reads orders as JSON lines on stdin, answers each with one JSON line on stdout. What libraries print
goes to stderr.
"""

from __future__ import annotations

import asyncio
import importlib
import json
import logging
import os
import sys
import traceback
from typing import Any

from bench.load import Load, Spec, run_load
from bench.machine import pin, raise_file_limit, rss_mb


async def _obey(client: Any, order: dict[str, Any]) -> dict[str, Any]:
    match order.pop("do"):
        case "load":
            return await run_load(client, Load(**order))
        case "rss":
            return {"rss_mb": rss_mb()}
        case "probe":
            return await client.probe(**order)
        case "close":
            await client.close()
            return {}
        case other:
            raise ValueError(f"unknown order {other!r}")


def main() -> None:
    pin("client")
    raise_file_limit()
    logging.disable(logging.WARNING)
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)

    def answer(value: dict[str, Any]) -> None:
        answers.write(json.dumps(value) + "\n")

    spec = Spec(**json.loads(sys.argv[1]))
    with asyncio.Runner() as runner:
        try:
            module = importlib.import_module(f"bench.clients.{spec.client}")
            client = module.make(spec)
            runner.run(client.open())
            answer({"ready": True, "versions": module.versions()})
        except BaseException as error:
            traceback.print_exc()
            answer({"error": f"{type(error).__name__}: {error}"})
            raise SystemExit(1) from error
        for line in sys.stdin:
            order = json.loads(line)
            try:
                answer(runner.run(_obey(client, order)))
            # A client that fails is a gap in the table, not the end of it.
            except Exception as error:  # noqa: BLE001
                traceback.print_exc()
                answer({"error": f"{type(error).__name__}: {error}"})


if __name__ == "__main__":
    main()
