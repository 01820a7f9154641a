"""The README and every page: their code runs, their outputs are what is printed, their links lead somewhere.

What is generated is compared with what the generator makes now; `python docs/generate.py` brings all of
it up to date.
"""

from __future__ import annotations

import json
import re
import sys
import tomllib
from decimal import Decimal
from fnmatch import fnmatchcase
from importlib import import_module
from pathlib import Path
from typing import Any

import openai
import pytest
import yaml

from hybridllm import Router, errors, model_book
from hybridllm._adapters import (
    aiohttp_wire,
    metric_names,
    openai_errors,
    semconv,
    span_attributes,
    yaml_document,
)
from hybridllm._core.decide import filters
from hybridllm._core.policy.schema import BesideSpec
from hybridllm._core.policy.schema_price import ChangedSpec, PriceSheetSpec, RatesSpec
from hybridllm._core.policy.schema_routes import CeilingsSpec
from hybridllm._core.policy.schema_when import MetadataTestSpec
from hybridllm._core.policy.spec import Spec
from hybridllm._core.request import read
from hybridllm._core.request.facts import Hints
from hybridllm._core.resilience import next_step
from hybridllm._core.wire import sse
from hybridllm._runtime import exchange

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
README = ROOT / "README.md"

sys.path.append(str(DOCS))  # the tools that the pages are made with; no package of ours
blocks: Any = import_module("docgen.blocks")
generate: Any = import_module("generate")

PAGES: list[Path] = blocks.pages()
RUN = [
    page
    for page in PAGES
    if any(
        block.language in ("python", "console") and block.not_run is None
        for block in blocks.blocks(page.read_text(encoding="utf-8"))
    )
]
NOT_RUN_MAX = 6  # every one of them has a reason, and is one more that nobody tries


def named(page: Path) -> str:
    return page.relative_to(ROOT).as_posix()


def text_of(name: str) -> str:
    return (DOCS / name).read_text(encoding="utf-8")


@pytest.mark.parametrize("page", RUN, ids=named)
def test_the_code_of_a_page_runs_and_prints_what_the_page_shows(page: Path) -> None:
    """As a reader would type it, warnings as errors; times, ports and digests may differ."""
    for shown in blocks.run(page):
        where = f"{named(page)}:{shown.block.line}"
        expected = blocks.normalised(shown.block.text)
        assert blocks.normalised(shown.printed) == expected, f"{where}: run docs/generate.py"


def test_hardly_a_block_is_left_alone() -> None:
    """A block that nobody runs is wrong one day."""
    left = [
        block
        for page in PAGES
        for block in blocks.blocks(page.read_text(encoding="utf-8"))
        if block.not_run is not None
    ]
    assert len(left) <= NOT_RUN_MAX


@pytest.mark.parametrize(
    ("page", "expected"), list(generate.reference()), ids=lambda value: getattr(value, "name", "")
)
def test_a_page_of_the_reference_is_what_the_code_says(page: Path, expected: str) -> None:
    """A key, an option or a public name that is new is in the reference, or this fails."""
    assert page.read_text(encoding="utf-8") == expected, "run docs/generate.py"


@pytest.mark.parametrize("page", PAGES, ids=named)
def test_the_generated_tables_of_a_page_are_current(page: Path) -> None:
    """What a failure leads to is asked of the code that decides it."""
    text = page.read_text(encoding="utf-8")
    assert generate.with_tables(text) == text, "run docs/generate.py"


# Policies


BASE = """
backends:
  cloud: {kind: api, base_url: https://api.example.com/v1, region: eu}
  own: {kind: vllm, base_url: https://vllm.internal/v1, region: eu, operator: self}
models:
  qwen3-8b: {on: {cloud: qwen3-8b, own: Qwen/Qwen3-8B}}
  qwen3-32b: {on: {cloud: qwen3-32b, own: Qwen/Qwen3-32B}}
routes: [{name: default, use: qwen3-8b}]
"""
YAML_BLOCKS = [
    pytest.param(page, block, id=f"{named(page)}:{block.line}")
    for page in PAGES
    for block in blocks.blocks(page.read_text(encoding="utf-8"))
    if block.language == "yaml"
    and not block.text.startswith(("# typo.yaml", "# prices.yaml", "# scenario.yaml"))
]


@pytest.mark.parametrize(("page", "block"), YAML_BLOCKS)
def test_a_policy_on_a_page_loads(page: Path, block: Any) -> None:
    """A whole one as it stands; a part of one in place of the same part of a small policy."""
    text = block.text
    if "version:" not in text:
        # As texts: PyYAML would take `on` for a truth value, as YAML 1.1 had it.
        base, part = (yaml.load(each, Loader=yaml.BaseLoader) for each in (BASE, text))
        for section, content in part.items():
            if isinstance(content, dict) and isinstance(base.get(section), dict):
                base[section] |= content
            else:
                base[section] = content
        text = json.dumps(base | {"version": 1})
    Router.from_text(text, name=named(page), environ={})


# Links


HEADING = re.compile(r"^#{1,6} (.+?)\s*$")
LINK = re.compile(r"(?<!!)\[[^\]]+\]\(([^)\s]+)\)")


def prose(page: Path) -> list[str]:
    """A page's lines without its code."""
    text = page.read_text(encoding="utf-8")
    lines = text.splitlines()
    for block in blocks.blocks(text):
        lines[block.line - 1 : block.end] = [""] * (block.end - block.line + 1)
    return [
        re.sub(r"`[^`]*`", lambda code: code[0].replace("[", "(").replace("]", ")"), line)
        for line in lines
    ]


def anchors(page: Path) -> set[str]:
    """Where a page can be linked to: as the site makes them, and as repositories' web pages do."""
    found = set()
    for line in prose(page):
        heading = HEADING.match(line)
        if heading:
            words = re.sub(r"[^\w\s-]", "", heading[1].replace("\\", "")).strip().lower()
            found.add(re.sub(r"[-\s]+", "-", words))
    return found


@pytest.mark.parametrize("page", PAGES, ids=named)
def test_every_link_of_a_page_leads_somewhere(page: Path) -> None:
    """Within the project; what lies elsewhere is not asked."""
    wrong = []
    for link in LINK.findall("\n".join(prose(page))):
        if "://" in link:
            continue
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        if not target.exists() or (anchor and anchor not in anchors(target)):
            wrong.append(link)
    assert wrong == []


# The site


def test_every_page_is_in_the_navigation() -> None:
    """And nothing in it is missing; what is fetched from elsewhere is switched off."""
    site = yaml.load((ROOT / "mkdocs.yml").read_text(encoding="utf-8"), Loader=yaml.BaseLoader)
    listed = [
        next(iter(page.values())) if isinstance(page, dict) else page
        for section in site["nav"]
        for pages in section.values()
        for page in pages
    ]
    there = [page.relative_to(DOCS).as_posix() for page in PAGES if page != README]
    assert sorted(listed) == sorted(there)
    assert site["theme"]["font"] == "false"
    # Diagrams stay readable text on the site: drawing them would load a script from elsewhere.
    assert "custom_fences" not in (ROOT / "mkdocs.yml").read_text(encoding="utf-8")


@pytest.mark.parametrize("page", PAGES, ids=named)
def test_a_page_names_no_folder_of_the_machine_it_was_made_on(page: Path) -> None:
    """Outputs are pasted in by a program that does not look at them."""
    text = page.read_text(encoding="utf-8")
    assert str(ROOT) not in text
    assert str(Path.home()) not in text


# The README


def test_the_readme_is_short_and_begins_with_what_and_why() -> None:
    """The first screen: what it is, code of about a dozen lines, what that prints, the two commands."""
    text = README.read_text(encoding="utf-8")
    assert len(text.splitlines()) < 100
    first, printed, demo, test = blocks.blocks(text)[:4]
    assert [block.language for block in (first, printed, demo, test)] == [
        "python",
        "text",
        "sh",
        "sh",
    ]
    assert len([line for line in first.text.splitlines() if line.strip()]) <= 14
    assert test.text.strip() in (ROOT / ".ci" / "run").read_text(encoding="utf-8")


def test_the_cost_in_the_readme_is_tokens_times_price() -> None:
    """To the last digit; the price is the model book's."""
    printed = next(
        b for b in blocks.blocks(README.read_text(encoding="utf-8")) if b.language == "text"
    )
    found = re.search(r"(\d+) \+ (\d+) tokens  \$([\d.]+) \((\S+)@", printed.text)
    assert found is not None
    entry = model_book().get(found[4])
    assert entry is not None
    assert entry.price is not None
    price = entry.price
    total = int(found[1]) * price.usd_per_mtok_in + int(found[2]) * price.usd_per_mtok_out
    assert Decimal(found[3]) == total / 1_000_000


def test_one_word_of_the_policy_moves_the_readmes_request(tmp_path: Path) -> None:
    """Another model under `use`, the same code: the next request goes there."""
    policy = (ROOT / "policies" / "api-first.yaml").read_text(encoding="utf-8")
    swapped = policy.replace("use: [qwen3-8b, glm-4-9b]", "use: [glm-4-9b, qwen3-8b]")
    assert swapped != policy
    (tmp_path / "policies").mkdir()
    (tmp_path / "policies" / "api-first.yaml").write_text(swapped, encoding="utf-8")
    code = blocks.blocks(README.read_text(encoding="utf-8"))[0]
    step = {"line": code.line, "kind": code.language, "text": code.text}
    printed = blocks.printed(README, [step], tmp_path)[code.line]
    assert "1. global-eu/glm-4-9b  primary  served" in printed


# Pages that retell the code


def test_the_error_page_tells_every_error() -> None:
    """Its place in the tree, and what to do."""
    page = text_of("errors.md")
    for name, kind in vars(errors).items():
        if isinstance(kind, type) and issubclass(kind, errors.HybridLLMError):
            assert re.search(rf"^(├|└|│| |─)*{name}\b", page, re.MULTILINE), name
            if kind not in (errors.HybridLLMError, errors.RequestFailed):
                assert f"### {name}\n" in page, name


def test_the_error_page_tells_the_openai_error_of_each_status() -> None:
    """The table's rows are what the code raises."""
    rows = re.findall(r"^\| (\d{3})\D.*`openai\.(\w+)` \|$", text_of("errors.md"), re.MULTILINE)
    told = {int(status): getattr(openai, name) for status, name in rows}
    assert told == {status: openai_errors._for_status(status) for status in told}
    assert set(openai_errors._BY_STATUS) < set(told)


def test_the_pages_of_telemetry_name_every_attribute_and_metric() -> None:
    """No more and no fewer than the code can write."""
    names = {
        value
        for where in (semconv, metric_names)
        for name, value in vars(where).items()
        if name.isupper() and name not in ("SCHEMA_URL", "SCOPE", "EXCEPTION_EVENT")
    }
    page = text_of("tracing.md") + text_of("metrics.md")
    told = set(re.findall(r"`([a-z_]+(?:\.[a-z_]+)*\.?)(?:`|<key>|\*)", page))
    assert names <= told
    ours = {name for name in told if name.startswith(("hybridllm.", "gen_ai."))}
    assert ours - names == {"hybridllm.tracing", "hybridllm.metrics"}  # the loggers


def test_the_page_of_calls_tells_every_hint() -> None:
    """Also those that do nothing yet: whoever passes one should know."""
    told = set(
        re.findall(r"`(\w+)`", "".join(re.findall(r"^\| .*?\|", text_of("calls.md"), re.MULTILINE)))
    )
    assert told >= set(Hints.__dataclass_fields__)


MIB = 1 << 20
FIGURES = [
    ("http.md", f"{exchange.BODY_BYTES_MAX // MIB} MiB of an answer"),
    ("http.md", f"{sse.STREAM_BYTES_MAX // MIB} MiB of a stream"),
    ("http.md", f"{sse.LINE_BYTES_MAX // MIB} MiB of one line"),
    ("http.md", f"{exchange.NESTING_MAX} levels of JSON"),
    ("http.md", f"kept for {aiohttp_wire.KEEPALIVE_S:g} s"),
    *(("http.md", f"`{header}`") for header in sorted(read.HEADERS_ALLOWED)),
    ("policies.md", f"{yaml_document.BYTES_MAX >> 10} KiB"),
    ("policies.md", f"{yaml_document.NODES_MAX:,} values"),
    ("policies.md", f"{yaml_document.DEPTH_MAX} levels"),
    ("receipts.md", f"{filters.OUTPUT_TOKENS_ASSUMED:,} tokens"),
    ("failover.md", f"less than {next_step.ATTEMPT_S_MIN * 1_000:g} ms left"),
    ("tracing.md", f"cut at {span_attributes.TEXT_LENGTH_MAX} characters"),
    ("tracing.md", f"at most {span_attributes.LIST_LENGTH_MAX}"),
    ("tracing.md", f"conventions {semconv.SCHEMA_URL.rpartition('/')[2].removesuffix('.0')}"),
]


@pytest.mark.parametrize(("page", "phrase"), FIGURES)
def test_a_figure_in_the_prose_is_the_codes(page: str, phrase: str) -> None:
    """So that nobody has to remember where a limit is told."""
    assert phrase in " ".join(text_of(page).split())


def test_the_design_page_names_what_is_there() -> None:
    """Layers, files and dependencies: each exists, and each dependency has its reason."""
    page = text_of("design.md")
    package = ROOT / "src" / "hybridllm"
    diagram = re.search(r"^(errors <- .+)$", page, re.MULTILINE)
    assert diagram is not None
    for layer in re.findall(r"(\w+)(?: \(public\))?(?: <-|,|$)", diagram[1]):
        here = package if layer == "hybridllm" else package / layer
        assert here.is_dir() or here.with_suffix(".py").is_file(), layer
    for path in re.findall(r"`([\w/*]+\.(?:py|md|yaml))`", page):
        base = ROOT if path.split("/")[0] in ("tests", "docs", "examples") else package
        assert list(base.glob(path)), path
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    extras = project["optional-dependencies"]
    table = "\n".join(re.findall(r"^\| `.*$", page, re.MULTILINE))
    for requirement in [*project["dependencies"], *extras["cli"]]:
        assert f"`{re.split(r'[>=<]', requirement)[0]}`" in table, requirement


def test_the_sections_of_a_schema_page_are_all_there() -> None:
    """A new mapping of the schema has its section: the generator lists them by hand."""
    policy_page: Any = import_module("docgen.policy_page")
    folder = ROOT / "src" / "hybridllm" / "_core" / "policy"
    modules = [f"hybridllm._core.policy.{file.stem}" for file in folder.glob("schema*.py")]
    assert len(modules) > 9
    listed = {kind for kind, _, _ in policy_page.SECTIONS}
    there = {
        kind
        for module in modules
        for kind in vars(import_module(module)).values()
        if isinstance(kind, type) and issubclass(kind, Spec)
    }
    # The parts that others are made of, a shorter way to write bounds, and files beside a policy.
    parts = {CeilingsSpec, MetadataTestSpec, RatesSpec, ChangedSpec}
    assert listed == there - parts - {Spec, BesideSpec, PriceSheetSpec}


def test_no_page_is_run_that_the_generator_wrote() -> None:
    """Signatures are no code to run; a page whose name fits must not hold any."""
    assert not [page for page in RUN if fnmatchcase(named(page), "docs/reference/*")]
