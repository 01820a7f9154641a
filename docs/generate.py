"""Bring what is generated in the documentation up to date: `python docs/generate.py`.

Writes the pages under `docs/reference/`, the tables between `<!-- generated: name -->` and
`<!-- end -->`, and the outputs that pages show below their code. `--check` writes nothing and tells
what is out of date.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from docgen import api_page, blocks, cli_page, economics_page, failure_tables, policy_page

DOCS = Path(__file__).parent
REFERENCE: Mapping[str, Callable[[], str]] = {
    "policy.md": policy_page.page,
    "cli.md": cli_page.page,
    "api.md": api_page.page,
    "economics.md": api_page.economics_page,
    "testing.md": api_page.testing_page,
}
TABLES: Mapping[str, Callable[[], str]] = {
    "wire failures": failure_tables.wire_table,
    "statuses": failure_tables.status_table,
    "timeouts": failure_tables.timeout_table,
    "breaker": failure_tables.breaker_table,
    "source scenarios": economics_page.scenario_table,
    "wrong sums": economics_page.wrong_sums_table,
    "crossings": economics_page.crossing_table,
    "scenario keys": economics_page.key_table,
    "break even claims": economics_page.claims_list,
}
_TABLE = re.compile(r"(<!-- generated: ([\w ]+) -->\n).*?(<!-- end -->)", re.DOTALL)


def reference() -> Iterator[tuple[Path, str]]:
    """Yield every page of the reference with what it should say."""
    for name, page in REFERENCE.items():
        yield DOCS / "reference" / name, page()


def with_tables(text: str) -> str:
    """Return a page with its generated tables as they should be."""
    return _TABLE.sub(lambda found: f"{found[1]}\n{TABLES[found[2]]()}\n\n{found[3]}", text)


def wanted() -> Iterator[tuple[Path, str]]:
    """Yield every page that something is generated in, with what it should say."""
    generated = dict(reference())
    yield from generated.items()
    for page in blocks.pages():
        if page not in generated and page.is_file():
            text = with_tables(page.read_text(encoding="utf-8"))
            yield page, blocks.renewed(text, blocks.run(page))


def main() -> int:
    """Write, or with `--check` only tell; return the exit status."""
    check = "--check" in sys.argv[1:]
    stale = 0
    for page, text in wanted():
        if page.is_file() and page.read_text(encoding="utf-8") == text:
            continue
        stale += 1
        sys.stdout.write(f"{page}: {'out of date' if check else 'written'}\n")
        if not check:
            page.write_text(text, encoding="utf-8")
    return int(check and stale > 0)


if __name__ == "__main__":
    sys.exit(main())
