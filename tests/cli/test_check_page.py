"""`hybridllm check --html`: a page to file, complete in itself, whatever names a policy has."""

from __future__ import annotations

import json
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from cli.conftest import POLICY

EVIL = "<script>alert(1)</script>"


class Page(HTMLParser):
    """A page, taken apart: its elements, their attributes and its text."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.text: list[str] = []
        self.feed(html)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag != "meta":
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if "style" not in self.open:
            self.text.append(data)

    @property
    def words(self) -> str:
        return " ".join(" ".join(self.text).split())


def page_of(hybridllm: Any, policy_file: Path, *options: str) -> tuple[str, Page]:
    target = policy_file.parent / "page.html"
    result = hybridllm("check", policy_file, "--html", target, *options)
    assert result.exit_code == 0, result.output
    html = target.read_text(encoding="utf-8")
    return html, Page(html)


def test_the_page_tells_what_an_officer_asks(hybridllm, policy_file: Path) -> None:
    """Which policy, when, what was proved and how, who reaches what, and who is denied."""
    _, page = page_of(hybridllm, policy_file, "--date", "2026-12-01")

    for words in (
        "Policy policy",
        "Environment production",
        "Version sha256:",
        "Date 2026-12-01",
        "What was proved",
        "decided by the very function that decides in production",
        "Region, operator and retention are what the policy declares",
        "A request without a residency tag carries the tag 'public'.",
        "by routes cheap, default; if the caller pins a model",
        "never: region 'us' is not in [eu] (residency 'phi')",
        "never: operator 'third_party' is not in [self] (residency 'phi')",
        "eu any any",  # the terms of a tag
        "us api us third_party 30d any https://us.example.com/v1",
        "2 default enforce always",
    ):
        assert words in page.words, words
    assert page.open == []


def test_the_page_stands_alone(hybridllm, policy_file: Path) -> None:
    """Nothing is loaded, nothing runs: it can be filed, mailed and printed."""
    html, page = page_of(hybridllm, policy_file)

    names = {name for name, _ in page.elements}
    assert names.isdisjoint(
        {"script", "link", "img", "iframe", "object", "embed", "base", "form", "svg"}
    )
    attributes = {name for _, attrs in page.elements for name in attrs}
    assert attributes <= {"lang", "charset", "name", "content", "http-equiv", "class", "scope"}
    (policy,) = [a["content"] for _, a in page.elements if a.get("http-equiv")]
    assert policy == "default-src 'none'; style-src 'unsafe-inline'"
    style = re.findall(r"<style>(.*?)</style>", html, re.DOTALL)
    assert len(style) == 1
    assert not re.search(r"url\(|@import|expression", style[0])
    assert "prefers-color-scheme: dark" in style[0]
    assert "@media print" in style[0]
    assert html.startswith("<!doctype html>")


def with_names(name: str) -> str:
    """The policy with this where a policy may have any text: tenants, sessions, metadata."""
    text = json.dumps(name)
    when = f"tenant: {text}, metadata: {{plan: {text}}}, not: {{feature: {text}}}"
    return (
        POLICY.replace("{task: classify}\n", f"{{task: classify, {when}}}\n")
        + f"constraints:\n  - {{name: c, when: {{session: {text}}}, deny: {{models: [small]}}}}\n"
    )


@pytest.mark.parametrize(
    "name",
    [
        EVIL,
        "<img src=x onerror=alert(1)>",
        '"><svg onload=alert(1)>',
        "' onmouseover='alert(1)",
        "</style><script>alert(1)</script>",
        "</title><script>alert(1)</script>",
        "&lt;script&gt;",
        "javascript:alert(1)",
        "<!-- --><b>",
        "]]><script>",
    ],
)
def test_no_name_of_a_policy_becomes_markup(hybridllm, policy_file: Path, name: str) -> None:
    """Who writes a policy is not who reads the page: every text is shown as it is."""
    policy_file.write_text(with_names(name))

    html, page = page_of(hybridllm, policy_file)

    assert "script" not in {element for element, _ in page.elements}
    assert {element for element, _ in page.elements}.isdisjoint({"svg", "img", "b"})
    assert not [a for _, attrs in page.elements for a in attrs if a.startswith("on")]
    assert page.words.count(" ".join(name.split())) >= 3
    assert page.open == []
    assert name not in html or name == "javascript:alert(1)"


def test_the_name_of_a_file_becomes_no_markup_either(hybridllm, policy_file: Path) -> None:
    """A policy is called after its file."""
    other = policy_file.with_name("a<i>&b.yaml")
    other.write_text(POLICY)

    html, page = page_of(hybridllm, other)

    assert "<i>" not in html
    assert "Policy a<i>&b" in page.words


def test_a_page_and_json_can_be_asked_for_at_once(hybridllm, policy_file: Path) -> None:
    """One check, both outputs."""
    target = policy_file.parent / "page.html"

    result = hybridllm("check", policy_file, "--html", target, "--json")

    assert json.loads(result.stdout)["ok"] is True
    assert target.exists()


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--html", "no-folder/page.html"), "cannot be written"),
        (("--html", "page.html", "--date", "1.12.2026"), "is not a date; write 2026-12-01"),
    ],
)
def test_a_page_that_cannot_be_made_is_wrong_usage(
    hybridllm, policy_file: Path, options: tuple[str, ...], words: str
) -> None:
    """Told before anything is written."""
    name, target, *rest = options

    result = hybridllm("check", policy_file, name, policy_file.parent / target, *rest)

    assert result.exit_code == 2
    assert words in " ".join(result.stderr.split())


def test_a_policy_with_problems_leaves_no_page(hybridllm, policy_file: Path) -> None:
    """A page that exists is a policy that is proved."""
    policy_file.write_text(POLICY.replace("kind: vllm", "kind: vlm"))
    target = policy_file.parent / "page.html"

    assert hybridllm("check", policy_file, "--html", target).exit_code == 1
    assert not target.exists()
