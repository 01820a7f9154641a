"""The documents that are shipped with the package, read by its own rules."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from hybridllm._core.policy.document import Findings, plain
from hybridllm.errors import PolicyError

_FOLDER = Path(__file__).parent.parent / "data"


def shipped_document(name: str) -> Any:
    """Return a YAML document of ours as plain values."""
    from hybridllm._adapters.yaml_document import read_document  # PyYAML costs more than the rest

    findings = Findings(name)
    root = read_document((_FOLDER / name).read_bytes(), findings)
    if root is None or findings.failed:
        raise PolicyError(findings.source, findings.in_order())
    return plain(root)
