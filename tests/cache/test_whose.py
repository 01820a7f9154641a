"""No answer ever crosses a tenant or a residency tag; a tag's answers are kept only if the tag says so."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cache.worlds import ASKED, cache, cached, ends
from hybridllm import Router, receipt
from hybridllm.testing import LoopClock, Reply, ScriptedWire, SentRequest, run_in_virtual_time
from runtime.world import KEY, MESSAGES

PHI: dict[str, Any] = {"residency": "phi"}


@pytest.mark.parametrize(
    ("params", "kept"),
    [
        pytest.param({}, True, id="no-tag"),
        pytest.param({"residency": "free"}, True, id="a-tag-that-allows"),
        pytest.param({"residency": "phi"}, False, id="a-tag-that-does-not-say"),
    ],
)
def test_a_tagged_answer_is_kept_only_where_the_tag_allows(
    params: dict[str, Any], *, kept: bool
) -> None:
    """What is not said is no."""

    async def main() -> None:
        async with cache(a=Reply.chat("x")) as here:
            for _ in range(2):
                await here.chat(**ASKED, **params)
            assert here.sent("a") == (1 if kept else 2)
            assert (
                here.router.explain(task="t", **params).to_dict()["cache"] is not None or not kept
            )

    run_in_virtual_time(main)


def test_equal_tagged_requests_at_once_are_both_sent_where_the_tag_does_not_allow() -> None:
    """Sharing a flight is keeping, for a moment."""

    async def main() -> None:
        async with cache(a=Reply.chat("x").after(1)) as here:
            await ends(*(here.chat(**ASKED, **PHI) for _ in range(3)))
            assert here.sent("a") == 3

    run_in_virtual_time(main)


def test_a_session_that_has_carried_a_tag_is_judged_by_it() -> None:
    """What it keeps counts as its own: not even what was kept before is handed to it."""

    async def main() -> None:
        async with cache(a=Reply.chat("x")) as here:
            await here.chat(**ASKED)
            await here.chat(**ASKED, session="s")
            assert here.sent("a") == 1
            await here.chat(**ASKED, session="s", residency="phi")
            await here.chat(**ASKED, session="s")
            await here.chat(**ASKED, session="s", residency="free")
            assert here.sent("a") == 4

    run_in_virtual_time(main)


_who = st.tuples(
    st.sampled_from([None, "acme", "umbrella", 'a","b']),
    st.sampled_from([None, "free", "eu", "phi"]),
    st.sampled_from([None, "s1", "s2"]),
    st.booleans(),
)


@settings(max_examples=40, deadline=None)
@given(st.lists(_who, min_size=2, max_size=25))
def test_no_answer_ever_crosses_tenant_or_tag(asked: list[Any]) -> None:
    """Each answer says for whom it was made; whoever gets it is that one. `phi` is never answered twice."""

    async def main() -> None:
        made: list[tuple[Any, ...]] = []
        current: list[tuple[Any, ...]] = []

        def answer(_: SentRequest) -> Reply:
            made.append(current[-1])
            return Reply.chat(str(len(made) - 1))

        wire = ScriptedWire({"a.test": answer})
        text = cached(use="[m]")
        async with Router.from_text(
            text, environ={"KEY": KEY}, wire=wire, clock=LoopClock()
        ) as router:
            tainted: set[str] = set()
            for tenant, tag, session, _ in asked:
                if session and tag == "phi":
                    tainted.add(session)
                tags = {tag} | ({"phi"} if session in tainted else set()) - {None}
                current.append((tenant, frozenset(tags - {None})))
                reply = await router.chat.completions.create(
                    messages=MESSAGES, temperature=0, tenant=tenant, residency=tag, session=session
                )
                assert made[int(reply.choices[0].message.content or "")] == current[-1]
                if "phi" in tags:
                    assert receipt(reply).cache is None

    run_in_virtual_time(main)


def test_a_changed_policy_empties_the_cache(tmp_path: Path) -> None:
    """What was answered under another version is gone; the same file read again changes nothing."""

    async def main() -> None:
        path = tmp_path / "team.yaml"
        path.write_text(cached())
        wire = ScriptedWire({"a.test": Reply.chat("x")})
        async with Router.from_file(
            path, environ={"KEY": KEY}, wire=wire, clock=LoopClock()
        ) as router:
            for _ in range(2):
                await router.chat.completions.create(messages=MESSAGES, **ASKED)
                await router.reload()
            assert len(wire.requests) == 1
            path.write_text(cached("{ttl: 2h}"))
            await router.reload()
            assert router.status().caches[1].entries == 0
            await router.chat.completions.create(messages=MESSAGES, **ASKED)
            assert len(wire.requests) == 2

    run_in_virtual_time(main)


def test_a_key_tells_nothing_of_what_was_asked() -> None:
    """It is a keyed hash, made with a secret of this process."""

    async def main() -> None:
        async with cache(a=Reply.chat("x")) as here, cache(a=Reply.chat("x")) as there:
            keys = []
            for one in (here, there):
                await one.chat(**ASKED)
                (kept,) = one.router._engine.response_caches.kept.values()
                keys += list(kept._kept)
            assert len({*keys}) == 2
            assert all(len(key) == 32 for key in keys)
            assert "x" not in repr(kept.get(keys[-1]))

    run_in_virtual_time(main)
