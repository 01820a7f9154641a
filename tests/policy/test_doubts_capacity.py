"""`order_by: marginal_price` without machines of one's own, and capacities that give no price: warnings."""

from __future__ import annotations

import pytest

from policy.policy_text import GOOD, changed, place_of_mark, warnings_of

CAPACITY = GOOD.replace("price: free\n", "price: free\n    capacity: {usd_per_month: 1500}\n")
LAST = "    use: [{model: qwen3-32b, on: [own-eu, hosted-us]}]\n"


@pytest.mark.parametrize(
    ("old", "new", "path"),
    [
        pytest.param(
            LAST,
            "    use: [{model: qwen3-32b, «order_by: marginal_price}]\n",
            "routes[1].use[0].order_by",
            id="entry",
        ),
        pytest.param(
            LAST, "    use: [qwen3-32b]\n    «order_by: marginal_price\n", "routes[1].order_by",
            id="route",
        ),
        pytest.param(
            "    fallbacks: [qwen3-32b]\n",
            "    fallbacks: [{model: qwen3-32b, «order_by: marginal_price}]\n",
            "routes[0].fallbacks[0].order_by",
            id="fallback",
        ),
        pytest.param(
            "  - name: cheap\n",
            "  - {name: b, when: {task: b}, use: [{bucket: bandwidth}]}\n  - name: cheap\n"
            "buckets: {bandwidth: {use: [{model: qwen3-32b, «order_by: marginal_price}]}}\n",
            "buckets.bandwidth.use[0].order_by",
            id="bucket",
        ),
    ],
)  # fmt: skip
def test_marginal_price_without_a_capacity_is_told_at_its_place(
    old: str, new: str, path: str
) -> None:
    """One more token costs its price everywhere then; with a capacity there is something to order by."""
    if "buckets:" in new:
        new, buckets = new.split("buckets:")
        text = changed(old, new).replace("routes:\n", f"buckets:{buckets}routes:\n")
    else:
        text = changed(old, new)
    text, (line, column) = place_of_mark(text)
    (told,) = warnings_of(text)
    assert (told.path, told.line, told.column) == (path, line, column)
    assert "none of these backends has a capacity" in told.message
    with_it = text.replace("price: free\n", "price: free\n    capacity: {usd_per_month: 1500}\n")
    assert warnings_of(with_it) == ()


def test_a_capacity_of_somebody_else_does_not_help() -> None:
    """The backends that are ordered must have it."""
    text = CAPACITY.replace(
        "    use: [qwen3-8b]\n", "    use: [qwen3-8b]\n    order_by: marginal_price\n"
    )
    assert [one.path for one in warnings_of(text)] == ["routes[0].order_by"]


@pytest.mark.parametrize(
    ("more", "paths"),
    [
        ("elastic: true", ["backends.own-eu.capacity"]),
        ("elastic: true, tokens_per_second: 2000", []),
        ("elastic: true, tokens_per_day: 50M", []),
    ],
)
def test_an_elastic_backend_says_what_it_can_do(more: str, paths: list[str]) -> None:
    """Else the most that was measured stands for it, and a token seems dearer than it is."""
    text = CAPACITY.replace("usd_per_month: 1500", f"usd_per_month: 1500, {more}")
    assert [one.path for one in warnings_of(text)] == paths
