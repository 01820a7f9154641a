"""A process that spends: `spender.py FILE CALLS SECONDS`, each call 2 USD, of 5 in a shared file.

Prints how many were admitted. A call takes SECONDS; of a process that is killed meanwhile nobody hears again.
"""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

from budgets.sharing import shared, two_usd
from hybridllm.errors import BudgetExceeded
from runtime.world import many


async def main(file: Path, calls: int, seconds: float) -> None:
    """Ask, all at once."""
    async with shared(file, takes_s=seconds) as router:
        asking = asyncio.ensure_future(many(calls, calls, lambda _: two_usd(router)))
        while not router._budgets().known() and not asking.done():
            await asyncio.sleep(0.01)
        print("held", flush=True)
        found = await asking
    others = [one for one in found if isinstance(one, Exception)]
    assert all(isinstance(one, BudgetExceeded) for one in others), others[:1]
    print(calls - len(others), flush=True)


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3])))
