"""The border between our errors and a terminal: each becomes a message, its remedy and an exit code."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import typer

from hybridllm import errors
from hybridllm.cli.exits import Exit
from hybridllm.cli.output import error_line, paragraph, print_json, receipt_lines


@contextmanager
def errors_told(*, as_json: bool) -> Iterator[None]:
    """Turn every error of ours that leaves the block into its message and exit code."""
    try:
        yield
    except errors.HybridLLMError as error:
        tell(error, as_json=as_json)
        raise typer.Exit(exit_code(error)) from None
    except KeyboardInterrupt:
        typer.echo("interrupted", err=True)
        raise typer.Exit(Exit.INTERRUPTED) from None


def exit_code(error: errors.HybridLLMError) -> Exit:
    """Return how a command ends that met `error`."""
    if isinstance(error, errors.PolicyDenied):
        return Exit.DENIED
    is_usage = isinstance(error, errors.InvalidRequest | errors.BulkFileError)
    return Exit.USAGE if is_usage else Exit.FAILED


def tell(error: errors.HybridLLMError, *, as_json: bool) -> None:
    """Print `error`: as an object on standard output, or as lines for people on standard error."""
    made = getattr(error, "receipt", None)
    if as_json:
        told = {"ok": False, "error": error_facts(error)}
        print_json(told if made is None else told | {"receipt": made.to_dict()})
        return
    if isinstance(error, errors.PolicyError):
        for problem in error.problems:
            typer.echo(str(problem), err=True)
        return
    error_line(str(error))
    remedy = _remedy(error)
    if remedy:
        paragraph(remedy, err=True)
    if made is not None and made.attempts:
        receipt_lines(made)


def error_facts(error: errors.HybridLLMError) -> dict[str, Any]:
    """Return what a script may want to know of an error."""
    facts: dict[str, Any] = {"type": errors.public_class(error).__name__, "message": str(error)}
    if isinstance(error, errors.PolicyError):
        facts["problems"] = [problem_facts(problem) for problem in error.problems]
    if isinstance(error, errors.BulkFileError):
        facts |= {"path": error.path, "line": error.line}
    if isinstance(error, errors.PolicyDenied):
        facts["rule"] = error.rule
    if isinstance(error, errors.RequestFailed):
        facts |= {"status_code": error.status_code, "code": error.code}
    return facts


def problem_facts(problem: Any) -> dict[str, Any]:
    """Return a problem of a policy file as a JSON object."""
    names = ("file", "line", "column", "path", "message", "warning")
    return {name: getattr(problem, name) for name in names}


def _remedy(error: errors.HybridLLMError) -> str | None:
    if isinstance(error, errors.PolicyDenied):
        return "nothing was sent; `hybridllm explain` with the same options shows who was dropped, and why"
    if isinstance(error, errors.DeadlineExceeded):
        return "give it more time with --deadline, or raise `timeouts` of the task or backend"
    if isinstance(error, errors.RequestFailed) and error.status_code in (401, 403):
        return "check the key in the environment variable that the backend's `api_key_env` names"
    if isinstance(error, errors.RouteExhausted):
        return "`hybridllm check` shows the address of each backend and the variables whose keys are missing"
    return None
