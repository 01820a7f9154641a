"""A page that needs nothing but itself: one file without scripts, to file, to mail or to print.

Nothing is loaded from anywhere and nothing runs. Names on a page come from policies, callers and models: who
writes a page escapes all text where it enters, and only there.
"""

from __future__ import annotations

from html import escape

_COLOURS = """
:root { color-scheme: light dark; --ink: #1c1d21; --paper: #fff; --soft: #5b616b; --line: #d5d9e0;
  --shade: #f4f6f8; --yes: #0f6b34; --no: #a3231c; --warn: #9a5b00; --bar: #2a78d6; }
@media (prefers-color-scheme: dark) { :root { --ink: #e6e8ec; --paper: #16181c; --soft: #9aa2ae;
  --line: #363b44; --shade: #1f2228; --yes: #6fd198; --no: #ff8f86; --warn: #f2c14e; --bar: #5b9ef0; } }
body { font: 15px/1.5 system-ui, sans-serif; color: var(--ink); background: var(--paper);
  margin: 2rem auto; padding: 0 1.5rem; }
.soft { color: var(--soft); } table { border-collapse: collapse; width: 100%; }
"""
_ON_PAPER = "@media print { body { margin: 0; max-width: none; color: #000; background: #fff; } }\n"
_ALLOWED = "default-src 'none'; style-src 'unsafe-inline'"


def html_page(title: str, body: str, *, style: str) -> str:
    """Return the page.

    Args:
        title: As text.
        body: As HTML, escaped where it has to be.
        style: Rules of its own, beside the colours and faces that pages share.
    """
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{_ALLOWED}">\n'
        f"<title>{escape(title)}</title>\n<style>{_COLOURS}{style}{_ON_PAPER}</style>\n</head>\n<body>\n"
        f"{body}\n</body>\n</html>\n"
    )
