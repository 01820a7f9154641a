"""From options, from what was found and from answers to the draft of a policy."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeVar
from urllib.parse import urlsplit

import typer

from hybridllm.cli.init import questions
from hybridllm.cli.init.draft import Draft, Side, Wishes, draft_of
from hybridllm.cli.init.hosted import APIS, BY_NAME, WITHOUT_A_KEY, HostedApi
from hybridllm.cli.init.report import Found
from hybridllm.cli.init.servers import UNKNOWN, look_at, usual_addresses

TASKS = ("classify", "summarize", "chat")
OPENAI = "openai"
OPENAI_VARIABLE = "OPENAI_BASE_URL"
_USER = re.compile(r"(?<=//).*@")
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Options:
    """What was typed behind the command; None: to be asked, or suggested."""

    file: Path
    ask: bool
    endpoints: tuple[str, ...]
    look: bool
    hosted: str | None
    models: tuple[str, ...]
    first: str | None
    private: bool | None
    region: str | None
    tasks: str | None
    with_schema: bool
    force: bool
    openai_base_url: str


def check_options(options: Options) -> None:
    """Refuse what cannot be meant before anything is looked at, asked or written.

    Raises:
        typer.BadParameter: With what is wrong and what is allowed.
    """
    file = options.file
    if file.is_dir():
        raise typer.BadParameter(f"{file} is a folder; name the file to write in it")
    if not file.parent.is_dir():
        raise typer.BadParameter(f"there is no folder {file.parent}; make it first")
    if (file.exists() or file.is_symlink()) and not options.force:
        raise typer.BadParameter(
            f"{file} is there already; name another file, or give --force to overwrite it"
        )
    _read("--hosted", options.hosted, questions.read_hosted)
    _read("--first", options.first, questions.read_first)
    _read("--region", options.region, questions.read_region)
    _read("--tasks", options.tasks, questions.read_tasks)
    _models(options)
    if options.openai_base_url:
        base_url(options.openai_base_url, option=OPENAI_VARIABLE)


def look_around(options: Options) -> Found:
    """Return what is there: servers that answer, and keys that are set."""
    from hybridllm import variables_set

    named = [base_url(text, option="--endpoint") for text in options.endpoints]
    own_openai = _own_openai(options)
    if own_openai is not None:
        named.append(own_openai)
    usual = usual_addresses() if options.look else []
    same = {_on_loopback(url) for url in named}
    usual = [url for url in usual if url not in same]
    servers = [*look_at(list(dict.fromkeys(named)), named=True), *look_at(usual, named=False)]
    there = variables_set(api.variable for api in APIS)
    keys = [api for api in APIS if api.variable in there]
    if own_openai is not None:
        keys = [api for api in keys if api.name != OPENAI]  # that key is for the server named there
    return Found(tuple(servers), tuple(keys), options.look)


def base_url(text: str, *, option: str) -> str:
    """Return the base URL that somebody means, in the spelling of policies.

    Raises:
        typer.BadParameter: If a policy would refuse it. Nothing is sent there then.
    """
    from hybridllm import PolicyError, Router

    url = text.strip() if "://" in text else f"http://{text.strip()}"
    if url.rstrip("/").count("/") == 2:  # those of the scheme
        url = f"{url.rstrip('/')}/v1"
    if "$" in url:
        shown = _USER.sub("…@", url)
        raise typer.BadParameter(
            f"{option}: {shown!r} is no base URL such as http://127.0.0.1:8000/v1"
        )
    backend = {"kind": "api", "base_url": url, "allow_plaintext": True}
    policy = {
        "version": 1,
        "backends": {"it": backend},
        "models": {"it": {"on": {"it": "it"}}},
        "routes": [{"name": "it", "use": "it"}],
    }
    try:
        # The rules for base URLs are the policy's, so it is the policy that is asked.
        router = Router.from_text(json.dumps(policy), environ={})
    except PolicyError as error:
        reason = error.problems[0].message
        raise typer.BadParameter(f"{option}: {reason}") from None
    return router.policy.backends["it"].base_url


def chosen(options: Options, found: Found) -> Draft:
    """Return the policy's draft: what is an option as it says, the rest asked or suggested."""
    from hybridllm import model_book

    apis = _apis(options, found)
    own = bool(found.usable)
    wishes = Wishes(
        first=Side(_first(options, both=own and bool(apis))),
        private=_private(options, found),
        region=_region(options, own=own),
        tasks=_tasks(options),
    )
    contexts = {entry.id: entry.context_tokens for entry in model_book()}
    draft = draft_of(found.usable, apis, wishes, book=contexts)
    return replace(draft, locked=tuple(server.base_url for server in found.locked))


def _apis(options: Options, found: Found) -> list[HostedApi]:
    """Return the hosted APIs to write; at least one where no server of your own can chat."""
    suggested = [api.name for api in found.keys]
    can_chat = any(not listed.embeds for server in found.usable for listed in server.models)
    if not suggested and not can_chat:
        suggested = [WITHOUT_A_KEY.name]
    if options.hosted is not None:
        names = questions.read_hosted(options.hosted)
    else:
        names = questions.ask_hosted(suggested) if options.ask else suggested
    if not names and not can_chat:
        names = [WITHOUT_A_KEY.name]
    models = _models(options)
    apis = []
    for name in names:
        api, model = BY_NAME[name], models.get(name)
        apis.append(api if model is None else replace(api, small=model, large=model))
    return apis


def _first(options: Options, *, both: bool) -> str:
    if options.first is not None:
        return options.first
    return questions.ask_first() if options.ask and both else Side.OWN


def _private(options: Options, found: Found) -> bool:
    if options.private is not None:
        return options.private
    surely_own = any(server.kind is not UNKNOWN for server in found.usable)
    return questions.ask_private(default=surely_own) if options.ask and found.usable else surely_own


def _region(options: Options, *, own: bool) -> str | None:
    if options.region is not None:
        return options.region
    return questions.ask_region() if options.ask and own else None


def _tasks(options: Options) -> tuple[str, ...]:
    if options.tasks is not None:
        return questions.read_tasks(options.tasks)
    return questions.ask_tasks(TASKS) if options.ask else TASKS


def _models(options: Options) -> Mapping[str, str]:
    """Return the models to use on hosted APIs, by the API's name."""
    models = {}
    for text in options.models:
        name, _, model = text.partition("=")
        if name not in BY_NAME or not model or not model.isascii() or not model.isprintable():
            raise typer.BadParameter(
                f"--model: {text!r} is not API=NAME with one of {', '.join(BY_NAME)} before the ="
            )
        models[name] = model
    return models


def _own_openai(options: Options) -> str | None:
    """Return OPENAI_BASE_URL if it leads to a server of your own: that is what http is for."""
    text = options.openai_base_url
    if not text.startswith("http://"):
        return None
    return base_url(text, option=OPENAI_VARIABLE)


def elsewhere(options: Options) -> bool:
    """Return whether OPENAI_BASE_URL sends OPENAI_API_KEY to another host than OpenAI's."""
    host = urlsplit(options.openai_base_url).hostname if options.openai_base_url else None
    return (
        host is not None
        and options.openai_base_url.startswith("https://")
        and (host != urlsplit(BY_NAME[OPENAI].base_url).hostname)
    )


def _on_loopback(url: str) -> str:
    return url.replace("//localhost:", "//127.0.0.1:", 1)


def _read(option: str, text: str | None, read: Callable[[str], T]) -> None:
    if text is None:
        return
    try:
        read(text)
    except ValueError as error:
        raise typer.BadParameter(f"{option}: {error}") from None
