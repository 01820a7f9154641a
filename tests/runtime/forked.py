"""A process that forks, in every way that a router may meet: run as a script by `test_fork.py`.

    python forked.py URL POLICY_FILE          prints one JSON object: what each scene came to

A scene forks a child that reports through a pipe and ends at once, as the children of `multiprocessing` do;
one ends like any program, destructors included.
"""

from __future__ import annotations

import asyncio
import gc
import json
import multiprocessing
import os
import sys
import threading
import traceback
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))

from hybridllm import Router
from runtime.world import KEY, MESSAGES, policy

URL, FILE = sys.argv[1], Path(sys.argv[2])
Facts = dict[str, Any]


def router_made(**options: Any) -> Any:
    text = policy("eu", urls={"eu": URL}, timeouts="idle: 20s")
    return Router.from_text(text, environ={"KEY": KEY}, **options)


async def asked(router: Any) -> str:
    answer = await router.chat.completions.create(messages=MESSAGES, task="t")
    return answer.choices[0].message.content


async def opened(router: Any) -> Any:
    return await router.chat.completions.create(messages=MESSAGES, task="t", stream=True)


async def text_of(stream: Any) -> str:
    return "".join([chunk.choices[0].delta.content or "" async for chunk in stream])


def told(what: Callable[[], Any]) -> str:
    """What comes of a call, in words."""
    try:
        return f"{what()}"
    except Exception as error:  # noqa: BLE001 - a scene tells whatever it is
        return f"{type(error).__name__}: {error}"


def in_child(scene: Callable[[], Facts], *, exits: bool = True) -> Callable[[], Facts]:
    """Fork; return what waits for the child and returns its facts.

    Args:
        exits: False: the child goes on to the end of the program.
    """
    read_end, write_end = os.pipe()
    pid = os.fork()
    if pid:
        os.close(write_end)

        def facts() -> Facts:
            with os.fdopen(read_end) as pipe:
                said = pipe.read()
            _, status = os.waitpid(pid, 0)
            return (json.loads(said) if said else {}) | {"exit": os.waitstatus_to_exitcode(status)}

        return facts
    os.close(read_end)
    try:
        found = scene()
        gc.collect()
    except BaseException:  # noqa: BLE001 - nothing may leave the child
        traceback.print_exc()
        found = {}
    with os.fdopen(write_end, "w") as pipe:
        json.dump(found, pipe)
    if exits:
        os._exit(0)
    sys.exit(0)


def used_before() -> Facts:
    """A module's router that has answered before the fork, as under `gunicorn --preload`."""
    router = router_made()
    asyncio.run(asked(router))
    children = [in_child(lambda: {"said": asyncio.run(asked(router))}) for _ in range(2)]
    return {"children": [wait() for wait in children], "parent": asyncio.run(asked(router))}


def in_a_running_loop() -> Facts:
    """A fork amid requests: a kept connection, a stream that is read, a request that waits for its answer."""
    router = router_made()

    async def main() -> Facts:
        await asked(router)
        stream = await opened(router)
        first = (await anext(stream)).choices[0].delta.content
        wait = in_child(lambda: amid(router, stream))
        child = await asyncio.to_thread(wait)
        rest = await text_of(stream)
        answer = await asked(router)
        await router.aclose()
        return {"child": child, "stream": first + rest, "parent": answer}

    return asyncio.run(main())


def amid(router: Any, stream: Any) -> Facts:
    """What a child of it sees."""
    engine = router._engine
    before = engine.fleet.in_flight
    found = {
        "said": asyncio.run(asked(router)),
        "in_flight": [before, engine.fleet.in_flight],
        "status": dict(router.status().in_flight),
        "read": told(lambda: asyncio.run(text_of(stream))),
        "closed": told(lambda: asyncio.run(stream.close())),
    }
    gc.collect()
    asyncio.run(router.aclose())
    return found | {"after": told(lambda: asyncio.run(asked(router)))}


def open_loop() -> Facts:
    """The parent's loop is open and stands still; the child ends like any program."""
    router = router_made()
    loop = asyncio.new_event_loop()
    loop.run_until_complete(asked(router))
    stream = loop.run_until_complete(opened(router))

    def ends() -> Facts:
        warnings.simplefilter("ignore", ResourceWarning)  # of the loop itself, which is not ours
        return {"said": asyncio.run(asked(router))}

    child = in_child(ends, exits=False)()
    found = {
        "child": child,
        "stream": loop.run_until_complete(text_of(stream)),
        "parent": loop.run_until_complete(asked(router)),
    }
    loop.run_until_complete(router.aclose())
    loop.close()
    return found


def only_closed() -> Facts:
    """The child closes what it never used: the parent's connections are the parent's."""
    router = router_made()

    async def main() -> Facts:
        await asked(router)
        stream = await opened(router)
        wait = in_child(lambda: {"closed": told(lambda: asyncio.run(router.aclose()))})
        child = await asyncio.to_thread(wait)
        found = {"child": child, "stream": await text_of(stream), "parent": await asked(router)}
        await router.aclose()
        return found

    return asyncio.run(main())


HELD: Facts = {}


def only_dropped() -> Facts:
    """The child lets go of everything, and its garbage is collected: the parent does not notice."""

    async def main() -> Facts:
        HELD["router"] = router_made()
        await asked(HELD["router"])
        HELD["stream"] = await opened(HELD["router"])
        child = await asyncio.to_thread(in_child(lambda: HELD.clear() or {}))
        found = {
            "child": child,
            "stream": await text_of(HELD["stream"]),
            "parent": await asked(HELD["router"]),
        }
        await HELD["router"].aclose()
        return found

    return asyncio.run(main())


def watched() -> Facts:
    """A watched file, with its thread at work in the parent."""
    router = Router.from_file(FILE, environ={"KEY": KEY}, watch=True, watch_s=0.02)

    async def main() -> Facts:
        await router.reload()
        router._begin()
        wait = in_child(lambda: watch_again(router))
        child = await asyncio.to_thread(wait)
        found = {"child": child, "watching": router.status().watching}
        await router.aclose()
        return found

    return asyncio.run(main())


def watch_again(router: Any) -> Facts:
    before = router.status().watching

    async def main() -> Facts:
        async with asyncio.timeout(10):
            changed = await router.reload()
        found = {"before": before, "changed": changed, "watching": router.status().watching}
        threads = [thread.name for thread in threading.enumerate()]
        await router.aclose()
        return found | {"threads": threads}

    return asyncio.run(main())


def chances() -> Facts:
    """Workers that drew the same numbers would wait and retry in step."""
    from hybridllm._runtime.chance import Chance

    chance = Chance()
    chance()
    children = [in_child(lambda: {"drawn": chance()}) for _ in range(3)]
    return {"drawn": [wait()["drawn"] for wait in children] + [chance()]}


def worker(number: int) -> str:
    return asyncio.run(asked(HELD["router"]))


def pool() -> Facts:
    """`multiprocessing` with fork: the router is a global."""
    HELD["router"] = router_made()
    asyncio.run(asked(HELD["router"]))
    with multiprocessing.get_context("fork").Pool(2) as workers:
        said = workers.map(worker, range(4))
        workers.close()
        workers.join()
    return {"said": said}


def handed_in() -> Facts:
    """A wire that was handed in cannot be made anew: the child is told."""
    import httpx

    from hybridllm import HttpxWire

    router = router_made(wire=HttpxWire(httpx.AsyncClient(), owns_client=True))

    async def main() -> Facts:
        await asked(router)
        wait = in_child(lambda: {"said": told(lambda: asyncio.run(asked(router)))})
        child = await asyncio.to_thread(wait)
        found = {"child": child, "parent": await asked(router)}
        await router.aclose()
        return found

    return asyncio.run(main())


SCENES = (
    used_before,
    in_a_running_loop,
    open_loop,
    only_closed,
    only_dropped,
    watched,
    chances,
    pool,
    handed_in,
)


def main() -> None:
    """Play every scene."""
    print(json.dumps({scene.__name__: scene() for scene in SCENES}))


if __name__ == "__main__":
    main()
