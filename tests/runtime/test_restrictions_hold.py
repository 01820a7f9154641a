"""What restricts a request, what denies it and what bills it: through the router, in odd corners."""

from __future__ import annotations

import json

import pytest

from hybridllm import InvalidRequest, PolicyDenied, receipt
from hybridllm.testing import Reply, run_in_virtual_time
from runtime.world import policy, scripted


def test_a_task_that_is_named_like_a_model_keeps_its_tag_when_it_is_given_as_the_model() -> None:
    """`model="m"` pins the model, and what the task of that name says of data holds as well."""

    async def main() -> None:
        text = policy("us", "eu", more="residency: {home: {regions: [eu]}}").replace(
            "tasks:", "tasks:\n  m: {residency: home}"
        )
        replies = dict.fromkeys(("us", "eu"), Reply.chat("fine"))
        async with scripted(text, **replies) as here:
            told = receipt(await here.router.chat.completions.create(messages=[], model="m"))
            assert (told.residency_tags, told.attempts[0].backend) == (("home",), "eu")
            assert told.route == "(pinned)"
            assert here.sent("us") == 0

    run_in_virtual_time(main)


def test_a_denial_names_no_tenant() -> None:
    """Tenants are customers' names; a denial is remembered for everybody of its kind."""

    async def main() -> None:
        text = policy("eu").replace("{name: all,", "{name: all, when: {task: t},")
        async with scripted(text) as here:
            for tenant in ("secret-customer-a", "b"):
                with pytest.raises(PolicyDenied) as caught:
                    await here.chat(task=None, tenant=tenant)
                assert "secret-customer" not in str(caught.value)
                assert receipt(caught.value).tenant == tenant

    run_in_virtual_time(main)


def test_embeddings_without_usage_are_billed_for_all_inputs() -> None:
    """About, and marked so: the sum of all texts, not the longest of them."""

    async def main() -> None:
        data = [{"object": "embedding", "index": n, "embedding": [0.5, 0.5]} for n in range(10)]
        body = json.dumps({"object": "list", "model": "m", "data": data}).encode()
        answer = Reply.raw(body, headers={"content-type": "application/json"})
        async with scripted(policy("eu"), eu=answer) as here:
            reply = await here.router.embeddings.create(model="m", input=["x" * 4_000] * 10)
            usage = receipt(reply).attempts[0].usage
            assert usage is not None
            assert (usage.source.value, usage.input_tokens) == ("estimated", 10_010)

    run_in_virtual_time(main)


@pytest.mark.parametrize("params", [{"max_tokens": -1}, {"max_tokens": "100000"}, {"n": -3}])
def test_a_ceiling_is_not_passed_by_with_a_count_that_means_something_else(
    params: dict[str, object],
) -> None:
    """Nothing is sent: some server would read it as no limit, or as the number it looks like."""

    async def main() -> None:
        text = policy("eu").replace("{name: all,", "{name: all, max_request_cost: 0.01,")
        async with scripted(text, eu=Reply.chat("fine")) as here:
            with pytest.raises(PolicyDenied, match="max_request_cost of route 'all'"):
                await here.chat(max_tokens=100_000)
            with pytest.raises(InvalidRequest, match="must be a whole number of 0 or more"):
                await here.chat(**params)
            assert here.sent("eu") == 0

    run_in_virtual_time(main)
