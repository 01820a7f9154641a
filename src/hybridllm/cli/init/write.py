"""A draft as a policy file: YAML with comments for somebody who has never seen one."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from ipaddress import ip_address
from urllib.parse import urlsplit

from hybridllm.cli.init.cases import cases_of
from hybridllm.cli.init.draft import (
    BANDWIDTH_TASKS,
    PRIVATE,
    PUBLIC,
    QUICK,
    Asked,
    Draft,
    DraftModel,
    DraftRoute,
    OwnBackend,
    Side,
)
from hybridllm.cli.init.hosted import HostedApi
from hybridllm.cli.init.servers import OLLAMA, VLLM
from hybridllm.cli.init.yaml_text import comment, explained, flow, flow_mapping, scalar

SCHEMA_NAME = "policy.schema.json"
THIS_MACHINE = "this machine"
_SLOW_TOTAL, _SLOW_FIRST = "3m", "2m"


def policy_text(draft: Draft, *, file: str, with_schema: bool, base_url_from_variable: bool) -> str:
    """Return the file.

    Args:
        draft: What it says.
        file: How the shell names it.
        with_schema: Whether the schema lies beside it, so that editors complete.
        base_url_from_variable: Whether OPENAI_BASE_URL goes before OpenAI's own address.
    """
    parts = [
        *_head(draft, file=file, with_schema=with_schema),
        "",
        *_backends(draft, base_url_from_variable=base_url_from_variable),
        "",
        *_models(draft),
        "",
        *_residency(draft),
        "",
        *_tasks(draft),
        "",
        *_routes(draft),
        "",
        *_tests(draft, file=file),
    ]
    return "\n".join(parts) + "\n"


def commands(draft: Draft, *, file: str) -> list[str]:
    """Return what to type next: check, explain, ask."""
    tasks = draft.wishes.tasks
    return [
        f"hybridllm check {file}",
        f"hybridllm explain {file} --task {tasks[0]}",
        f"hybridllm ask {file} 'Say hello' --task {tasks[-1]}",
    ]


def _head(draft: Draft, *, file: str, with_schema: bool) -> Iterator[str]:
    if with_schema:
        yield f"# yaml-language-server: $schema={SCHEMA_NAME}"
        yield "#"
    check, explain, ask = commands(draft, file=file)
    yield from comment(
        "Who answers which request. `hybridllm init` wrote this from what it found; change what you like."
    )
    yield "#"
    yield f"#   {check}"
    yield f"#   hybridllm test {file}"
    yield f"#   {explain}"
    yield f"#   {ask}"
    yield "version: 1"
    yield explained("environment: ${APP_ENV:-development}", "routes and backends can ask for it")


def _backends(draft: Draft, *, base_url_from_variable: bool) -> Iterator[str]:
    yield "# Who can answer: servers of your own, and hosted APIs."
    yield "backends:"
    for own in draft.own:
        yield from _own_backend(own, region=draft.wishes.region)
    for api in draft.hosted:
        by_variable = base_url_from_variable and api.variable == "OPENAI_API_KEY"
        yield from _hosted_backend(api, by_variable=by_variable)
    for base_url in draft.locked:
        yield from _locked_backend(base_url)


def _own_backend(own: OwnBackend, *, region: str | None) -> Iterator[str]:
    server = own.server
    title = server.kind.title if own.is_surely_own else "An OpenAI-compatible server"
    yield f"  # {title} on {_place(server.base_url)}."
    for reason, count in server.left_out:
        models = "1 model" if count == 1 else f"{count:,} models"
        yield f"  # {models} of its list left out: {reason}."
    if server.kind is OLLAMA:
        yield from comment(
            "It cuts off what is longer than its context window (OLLAMA_CONTEXT_LENGTH) without a word: "
            "write that number as `context` of each model below.",
            indent=2,
        )
    yield f"  {own.name}:"
    yield f"    kind: {'vllm' if server.kind is VLLM else 'api'}"
    yield f"    base_url: {server.base_url}"
    if _is_plain(server.base_url):
        yield explained(
            "    allow_plaintext: true", "http to another machine: only inside your network"
        )
    if region:
        yield explained(f"    region: {scalar(region)}", "where it stands")
    if own.is_surely_own:
        yield explained("    operator: self", "you run it, and prompts end here")
    else:
        yield explained(
            "    operator: third_party", "it may pass prompts on; if they end here, write self"
        )
    yield explained("    # retention: none", "say so if it keeps no prompts, logs included")
    yield explained("    price: free", "paid by the month; without this line its cost is unknown")
    if server.kind.slow_start:
        yield explained(
            f"    timeouts: {{first_token: {_SLOW_FIRST}}}", "it loads a model at the first request"
        )


def _place(base_url: str) -> str:
    """Return the host of a base URL in words."""
    host = urlsplit(base_url).hostname or ""
    with suppress(ValueError):
        if ip_address(host).is_loopback:
            return THIS_MACHINE
    return THIS_MACHINE if host == "localhost" else host


def _is_plain(base_url: str) -> bool:
    """Return whether what is sent there crosses a network unencrypted."""
    return base_url.startswith("http://") and _place(base_url) != THIS_MACHINE


def _hosted_backend(api: HostedApi, *, by_variable: bool) -> Iterator[str]:
    url = f"${{OPENAI_BASE_URL:-{api.base_url}}}" if by_variable else api.base_url
    yield f"  # {api.title}."
    yield f"  {api.name}:"
    yield "    kind: api"
    yield f"    base_url: {url}"
    yield explained(
        f"    api_key_env: {api.variable}", "the NAME of the variable; a key never stands here"
    )
    yield "    operator: third_party"
    yield "    # What your contract says. Undeclared, no tag that asks for it lets data go there."
    yield "    # region: us"
    yield "    # retention: 30d"


def _locked_backend(base_url: str) -> Iterator[str]:
    yield from comment(
        f"{base_url} asks for a key, so its models are not known. Name the variable of its key, take the "
        "# away, and write its models below.",
        indent=2,
    )
    yield "  # keyed:"
    yield "  #   kind: vllm"
    yield f"  #   base_url: {base_url}"
    if _is_plain(base_url):
        yield "  #   allow_plaintext: true"
    yield "  #   api_key_env: KEYED_API_KEY"
    yield "  #   operator: self"
    yield "  #   price: free"


def _models(draft: Draft) -> Iterator[str]:
    yield from comment(
        "What applications and routes call a model, and under `on` the name that each backend knows it "
        "by. What is left out comes from the model book, if that knows the model: `hybridllm models`."
    )
    yield from comment(
        "A request that needs a capability (tools, json_schema, vision, audio, logprobs) goes only where "
        "it is listed: add what you know that a model can."
    )
    priced = {api.name for api in draft.hosted if api.in_the_book}
    unpriced = [api for api in draft.hosted if not api.in_the_book]
    if unpriced:
        yield from comment(
            "Give the hosted ones your provider's prices, or their answers have no cost. Models come and "
            "go; the names of today: " + ", ".join(f"{api.base_url}/models" for api in unpriced)
        )
    yield "models:"
    for model in draft.models:
        yield from _model(model, priced=priced)


def _model(model: DraftModel, *, priced: set[str]) -> Iterator[str]:
    yield f"  {scalar(model.name)}:"
    if model.context_tokens:
        yield explained(f"    context: {model.context_tokens}", "tokens, as the server says")
    if model.embeds:
        yield explained(
            "    capabilities: [embeddings]", f"embeddings.create(model={model.name!r}, ...)"
        )
        yield explained("    # dimensions: 1024", "of its vectors: others are then refused")
    elif model.capabilities:
        yield f"    capabilities: {flow(model.capabilities)}"
    else:
        yield "    # capabilities: [tools]"
    if set(model.sides.get(Side.HOSTED, ())) - priced:
        yield "    # price: {input_per_1m: 0.10, output_per_1m: 0.40}"
    yield f"    on: {flow_mapping(model.on)}"


def _residency(draft: Draft) -> Iterator[str]:
    wishes = draft.wishes
    yield from comment(
        "Where data may go. A request brings a tag, or its task does. A tag is a hard filter: no route, "
        "retry or failover gets round it, and one that is not declared here is denied."
    )
    yield "residency:"
    yield f"  {PUBLIC}: {{}}"
    if wishes.private:
        yield explained(f"  {PRIVATE}: {{operators: [self]}}", "only servers that you run")
    if wishes.region:
        region = scalar(wishes.region)
        yield explained(f"  {region}: {{regions: [{region}]}}", "only servers in this region")
    yield explained(
        f"default_residency: {PUBLIC}", "of a request without a tag; deny: such a request is denied"
    )


def _tasks(draft: Draft) -> Iterator[str]:
    yield from comment(
        'What your application does. It says task="..."; the routes below say which model is good enough.'
    )
    yield "tasks:"
    slow = any(own.server.kind.slow_start for own in draft.own)
    timeouts = f", timeouts: {{total: {_SLOW_TOTAL}}}" if slow else ""
    for task in draft.wishes.tasks:
        bucket = "bandwidth" if task in BANDWIDTH_TASKS else "judgment"
        yield f"  {scalar(task)}: {{bucket: {bucket}{timeouts}}}"
    tag = PRIVATE if draft.wishes.private else draft.wishes.region
    if tag:
        yield "  # Every request of such a task carries the tag:"
        yield f"  # payroll: {{bucket: judgment, residency: {scalar(tag)}}}"


def _routes(draft: Draft) -> Iterator[str]:
    yield from comment(
        "The first route whose `when` holds decides who is asked, and in which order. Fallbacks are asked "
        "when all of `use` failed; the receipt marks such an answer. To move a task to another model, "
        "change a word here: no code changes."
    )
    yield "routes:"
    for route in draft.routes:
        yield from _route(draft, route)


def _route(draft: Draft, route: DraftRoute) -> Iterator[str]:
    if route.name == QUICK:
        yield "  # Much and cheap: the smallest model, by the size in its name."
        yield f"  - name: {QUICK}"
        yield "    when: {bucket: bandwidth}"
    else:
        yield "  # No `when`: everything else."
        yield f"  - name: {route.name}"
    use = ", ".join(_entry(draft, asked) for asked in route.use)
    yield f"    use: [{use}]"
    if route.fallbacks:
        fallbacks = ", ".join(_entry(draft, asked) for asked in route.fallbacks)
        yield f"    fallbacks: [{fallbacks}]"


def _entry(draft: Draft, asked: Asked) -> str:
    """Return a model as a route names it: alone, or with the backends of one side where it has both."""
    name = scalar(asked.model)
    model = next(one for one in draft.models if one.name == asked.model)
    if len(model.sides) == 1:
        return name
    on = model.sides[asked.side]
    order = ", order_by: load" if len(on) > 1 else ""
    return f"{{model: {name}, on: {flow(on)}{order}}}"


def _tests(draft: Draft, *, file: str) -> Iterator[str]:
    yield from comment(
        f"What this policy promises. `hybridllm test {file}` runs them, and so does every load: a change "
        "that breaks one is refused."
    )
    yield "tests:"
    for case in cases_of(draft):
        for line in case.splitlines():
            yield f"  {line}"
