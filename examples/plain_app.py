"""An application that asks for a task, not for a model, and reads the receipt.

Runs as it is: the backends are simulated, on loopback ports. With real ones, leave `demo_backends` and
`environ` out, and set GLOBAL_API_KEY.
"""

import asyncio

from hybridllm import PolicyDenied, Router, context, receipt
from hybridllm.testing import demo_backends

TICKETS = (
    "I was charged twice for one order",
    "The app crashes when I log in",
    "Where is my parcel?",
)


async def triage(router: Router, ticket: str) -> str:
    """Put a ticket into a category."""
    reply = await router.chat.completions.create(
        task="classify",
        feature="triage",
        max_tokens=8,
        messages=[
            {"role": "system", "content": "Answer with one word: billing, bug or shipping."},
            {"role": "user", "content": ticket},
        ],
    )
    paid = receipt(reply)
    print(
        f"{ticket!r}: {paid.attempts[-1].backend}, {paid.cost_usd:f} USD, {paid.duration_s:.3f} s"
    )
    return reply.choices[0].message.content or ""


async def main() -> None:
    async with (
        demo_backends() as environ,
        Router.from_file("policies/api-first.yaml", environ=environ) as router,
    ):
        with context(tenant="acme", residency="eu"):  # hints for every request of the block
            for ticket in TICKETS:
                await triage(router, ticket)
        try:
            await triage_with_a_typo(router)
        except PolicyDenied as denied:
            print(f"denied, and nothing was sent: {denied}")


async def triage_with_a_typo(router: Router) -> None:
    """A residency tag that the policy does not declare is refused, never ignored."""
    await router.chat.completions.create(
        task="classify", residency="uk", messages=[{"role": "user", "content": "hello"}]
    )


if __name__ == "__main__":
    asyncio.run(main())
