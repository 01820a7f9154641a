"""How long the addresses of a name are kept, and who waits for whom while it is looked up."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Awaitable, Callable

import pytest

from hybridllm._runtime.names import AGAIN_S, FRESH_S, STALE_AFTER_S, STALE_S, Names
from hybridllm._runtime.ports import NoSuchName
from hybridllm.testing import run_in_virtual_time
from names import HANGS, NXDOMAIN, SERVFAIL, FakeNames

OLD, NEW = ("192.0.2.1",), ("192.0.2.2", "2001:db8::2")


def played(fake: FakeNames, act: Callable[[Names], Awaitable[None]]) -> None:
    async def main() -> None:
        names = Names(fake.look_up, now_s=asyncio.get_running_loop().time)
        await act(names)
        names.close()

    run_in_virtual_time(main)


def test_a_name_is_looked_up_once_while_its_addresses_are_fresh() -> None:
    """And again after ten seconds; what the new answer says holds at once."""
    fake = FakeNames({"h": [OLD, NEW]})

    async def act(names: Names) -> None:
        for _ in range(5):
            assert await names.addresses("h") == OLD
            await asyncio.sleep(FRESH_S / 6)
        assert fake.asked == ["h"]
        await asyncio.sleep(FRESH_S)
        assert await names.addresses("h") == NEW
        assert fake.asked == ["h", "h"]

    played(fake, act)


def test_those_who_ask_at_once_share_one_look_up() -> None:
    """A hundred connections to a backend that just came up are one question."""
    fake = FakeNames({"h": OLD}, after_s=1.0)

    async def act(names: Names) -> None:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(names.addresses("h")) for _ in range(100)]
        assert {task.result() for task in tasks} == {OLD}
        assert fake.asked == ["h"]

    played(fake, act)


def test_one_who_leaves_does_not_end_the_look_up_for_the_others() -> None:
    """Nor for whoever comes later: it goes on even if nobody waits."""
    fake = FakeNames({"h": OLD}, after_s=1.0)

    async def act(names: Names) -> None:
        async with asyncio.TaskGroup() as group:
            first, second = (group.create_task(names.addresses("h")) for _ in range(2))
            await asyncio.sleep(0.5)
            first.cancel()
            assert await second == OLD
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.5):
                await Names(fake.look_up, now_s=lambda: 0.0).addresses("h")
        await asyncio.sleep(1.0)
        assert await names.addresses("h") == OLD
        assert first.cancelled()

    played(fake, act)


def test_an_old_answer_does_while_the_name_server_fails() -> None:
    """For an hour; it is asked again once a second, and waited for no longer than 0.2 s."""
    fake = FakeNames({"h": [OLD, SERVFAIL, HANGS, NEW]})

    async def act(names: Names) -> None:
        loop = asyncio.get_running_loop()
        await names.addresses("h")
        await asyncio.sleep(FRESH_S)
        assert await names.addresses("h") == OLD  # it failed
        assert await names.addresses("h") == OLD
        assert len(fake.asked) == 2
        await asyncio.sleep(AGAIN_S)
        began_s = loop.time()
        assert await names.addresses("h") == OLD  # it hangs
        assert loop.time() - began_s == pytest.approx(STALE_AFTER_S)
        assert len(fake.asked) == 3

    played(fake, act)


def test_an_old_answer_is_not_used_for_ever() -> None:
    """After an hour without a name server there is no address any more."""
    fake = FakeNames({"h": [OLD, SERVFAIL]})

    async def act(names: Names) -> None:
        await names.addresses("h")
        await asyncio.sleep(STALE_S)
        with pytest.raises(socket.gaierror, match="Temporary failure"):
            await names.addresses("h")

    played(fake, act)


def test_a_name_that_is_gone_is_gone() -> None:
    """A name server that says so is believed: the addresses may be somebody else's by now."""
    fake = FakeNames({"h": [OLD, NXDOMAIN, NXDOMAIN, NEW]})

    async def act(names: Names) -> None:
        await names.addresses("h")
        await asyncio.sleep(FRESH_S)
        for _ in range(2):
            with pytest.raises(NoSuchName):
                await names.addresses("h")
        assert await names.addresses("h") == NEW

    played(fake, act)


def test_each_who_waits_gets_an_error_of_his_own() -> None:
    """One that is shared gathers the frames of everybody who raises it."""
    fake = FakeNames({"h": SERVFAIL}, after_s=1.0)

    async def act(names: Names) -> None:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(error_of(names)) for _ in range(10)]
        assert len({id(task.result()) for task in tasks}) == 10
        assert fake.asked == ["h"]

    async def error_of(names: Names) -> OSError:
        with pytest.raises(socket.gaierror) as caught:
            await names.addresses("h")
        return caught.value

    played(fake, act)


def test_closing_lets_nobody_wait_on() -> None:
    """Whoever waits for a name that hangs is told."""
    fake = FakeNames({"h": HANGS})

    async def act(names: Names) -> None:
        async with asyncio.TaskGroup() as group:
            waiting = group.create_task(told(names))
            await asyncio.sleep(1)
            names.close()
        assert waiting.result() == "the look-up was given up"

    async def told(names: Names) -> str:
        with pytest.raises(OSError, match="given up") as caught:
            await names.addresses("h")
        return str(caught.value)

    played(fake, act)


def test_only_so_many_names_are_remembered() -> None:
    """Policies come and go; what is remembered of their hosts stays bounded."""
    fake = FakeNames({f"h{number}": OLD for number in range(1_500)})

    async def act(names: Names) -> None:
        for host in fake.answers:
            await names.addresses(host)
        assert len(names._kept) == 1_024
        assert await names.addresses("h1499") == OLD
        assert len(fake.asked) == 1_500

    played(fake, act)
