"""How the command line shows lines, figures and JSON.

Owns rounding: money is exact everywhere else and is rounded here, for the eye only.
"""

from __future__ import annotations

import json
import shutil
import sys
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import typer

if TYPE_CHECKING:
    from hybridllm import Receipt


def terminal_width(*, err: bool = False) -> int | None:
    """Return how many columns standard output (or error) has; None: no terminal, so nothing is wrapped."""
    stream = sys.stderr if err else sys.stdout
    return shutil.get_terminal_size().columns if stream.isatty() else None


def paragraph(text: str, *, err: bool = False) -> None:
    """Print a sentence or two, broken between words where the terminal ends."""
    width = terminal_width(err=err)
    if width is not None and len(text) > width:
        from textwrap import fill

        text = fill(text, width, break_on_hyphens=False)
    typer.echo(text, err=err)


def keep_logs_quiet() -> None:
    """Keep what the library logs off the terminal: whoever runs a command reads its receipt instead."""
    import logging

    logging.getLogger("hybridllm").addHandler(logging.NullHandler())


def headline(text: str) -> None:
    """Print the title of what comes below it."""
    typer.echo("\n" + typer.style(text, bold=True))


def note(text: str) -> None:
    """Print a line that matters less."""
    typer.echo(typer.style(text, dim=True))


def print_json(value: Any) -> None:
    """Print one JSON object on standard output."""
    sys.stdout.write(json.dumps(value, indent=2, ensure_ascii=False, default=str) + "\n")


def error_line(message: str) -> None:
    """Print one message for people on standard error."""
    paragraph(typer.style("error: ", fg="red", bold=True) + message, err=True)


def receipt_lines(receipt: Receipt) -> None:
    """Print a receipt for people on standard error, below the answer."""
    typer.echo("", err=True)
    typer.echo(typer.style(str(receipt), dim=True), err=True)


def usd(amount: Decimal | None) -> str:
    """Show an amount of money: cents from a dollar on, three significant digits below."""
    if amount is None:
        return "unknown"
    if not amount:
        return "$0"
    if abs(amount) >= 1:
        return f"${amount:,.2f}"
    return f"${_plain(amount, amount.adjusted() - 2)}"


def usd_per_mtok(price: Decimal | None) -> str:
    """Show a price per 1,000,000 tokens, exact, with two decimals at least."""
    if price is None:
        return "unknown"
    exponent = price.normalize().as_tuple().exponent
    return _plain(price, min(-2, exponent if isinstance(exponent, int) else -2))


def seconds(duration_s: float | None) -> str:
    """Show a duration: milliseconds below one second."""
    if duration_s is None:
        return "-"
    return f"{duration_s * 1_000:.0f} ms" if duration_s < 1 else f"{duration_s:.2f} s"


def price_columns(price_in: Decimal | None, price_out: Decimal | None) -> tuple[str, str]:
    """Show prices of prompt and answer per 1,000,000 tokens; zero for both is what a policy calls free."""
    if price_in is not None and price_out is not None and not price_in and not price_out:
        return ("free", "free")
    return (usd_per_mtok(price_in), usd_per_mtok(price_out))


def tokens(count: int | None) -> str:
    """Show a count of tokens the way a policy file writes it: `128K`."""
    if count is None:
        return "-"
    return f"{count // 1024}K" if count and count % 1024 == 0 else f"{count:,}"


def plural(count: int, word: str) -> str:
    """Show how many there are of something: `1 stream`, `2 streams`."""
    return f"{count} {word}" if count == 1 else f"{count} {word}s"


def percent(part: float | None, whole: float = 1) -> str:
    """Show a share; less than all is never 100 %."""
    if part is None or not whole:
        return "-"
    if part == whole:
        return "100 %"
    share = 100 * part / whole
    return f"{share:.1f} %" if share < 99 else f"{min(share, 99.99):.2f} %"


def _plain(amount: Decimal, exponent: int) -> str:
    """Round to 10**exponent and write without an `E`."""
    return f"{amount.quantize(Decimal(1).scaleb(exponent)):f}"
