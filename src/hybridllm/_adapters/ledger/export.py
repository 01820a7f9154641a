"""Rows of a ledger as a CSV or a Parquet file: money as decimals in USD, times in UTC, all else as it is."""

from __future__ import annotations

import csv
import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from itertools import islice
from pathlib import Path
from typing import Any, get_type_hints

from hybridllm._core.ledger.periods import instant
from hybridllm._core.money.pico import usd_of
from hybridllm.errors import InvalidRequest, LedgerError

_AT_ONCE = 20_000
_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n")  # a spreadsheet would run it


def written(
    rows: Iterable[Any],
    row: type[Any],
    path: Path,
    kind: str,
    *,
    total: int,
    told: Callable[[int, int], object] | None,
) -> int:
    """Write rows into a file, and return how many.

    Raises:
        InvalidRequest: If the file cannot be written, or Parquet cannot.
        LedgerError: If a row is not as a router writes them.
    """
    writing = _csv if kind == "csv" else _parquet
    partial = path.with_name(path.name + ".partial")
    count = 0
    try:
        with writing(partial, row) as put:
            for part in _parts(rows):
                put(part)
                count += len(part)
                if told is not None:
                    told(count, total)
        partial.replace(path)
    except OSError as error:
        raise InvalidRequest(f"{path}: cannot be written: {error.strerror or error}") from None
    except (TypeError, ValueError, OverflowError):
        raise LedgerError(
            f"a row after the first {count} holds what no row can; `hybridllm ledger check` says which"
        ) from None
    finally:
        with suppress(OSError):
            partial.unlink(missing_ok=True)
    return count


def _parts(rows: Iterable[Any]) -> Iterator[list[Any]]:
    rest = iter(rows)
    while part := list(islice(rest, _AT_ONCE)):
        yield part


def _columns(row: type[Any]) -> list[tuple[str, str, str]]:
    """Return (field, its name in the file, what it is) of each column."""
    found = []
    for field, given in get_type_hints(row).items():
        if field.endswith("_pico"):
            found.append((field, field.removesuffix("_pico") + "_usd", "usd"))
        elif field == "started_us":
            found.append((field, "started_at", "time"))
        else:
            whole = int in (given, *getattr(given, "__args__", ()))
            found.append((field, field, "whole" if whole else "text"))
    return found


def _value(value: Any, what: str) -> Any:
    if value is None:
        return None
    if what == "usd":
        return usd_of(value)
    return instant(value) if what == "time" else value


def _text(value: Any, what: str) -> str:
    if value is None:
        return ""
    if what == "usd":
        return f"{usd_of(value):f}"
    if what == "time":
        return str(_value(value, what).isoformat(timespec="microseconds"))
    text = str(value)
    return f"'{text}" if what == "text" and text.lstrip(" ").startswith(_FORMULA) else text


@contextmanager
def _csv(path: Path, row: type[Any]) -> Iterator[Callable[[list[Any]], None]]:
    columns = _columns(row)
    kinds = [what for _, _, what in columns]
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)  # it names tenants
    with os.fdopen(fd, "w", encoding="utf-8", newline="") as file:
        out = csv.writer(file, lineterminator="\n")
        out.writerow([name for _, name, _ in columns])

        def put(part: list[Any]) -> None:
            out.writerows([map(_text, one, kinds) for one in part])

        yield put


@contextmanager
def _parquet(path: Path, row: type[Any]) -> Iterator[Callable[[list[Any]], None]]:
    try:
        import pyarrow as pa  # type: ignore[import-untyped]
        from pyarrow import parquet
    except ImportError:
        raise InvalidRequest(
            "Parquet needs pyarrow, which is not installed: pip install 'hybridllm[parquet]'; or export CSV"
        ) from None
    types = {
        "usd": pa.decimal128(38, 12),
        "time": pa.timestamp("us", tz="UTC"),
        "whole": pa.int64(),
        "text": pa.string(),
    }
    columns = _columns(row)
    schema = pa.schema([(name, types[what]) for _, name, what in columns])
    os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600))
    with parquet.ParquetWriter(path, schema) as out:

        def put(part: list[Any]) -> None:
            arrays = [
                pa.array([_value(one[place], what) for one in part], types[what])
                for place, (_, _, what) in enumerate(columns)
            ]
            out.write_table(pa.Table.from_arrays(arrays, schema=schema))

        yield put
