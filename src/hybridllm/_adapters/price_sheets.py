"""Price sheets: files of prices, to be used in place of a policy's own."""

from __future__ import annotations

import hashlib
from pathlib import Path

from hybridllm._adapters.policy_files import content
from hybridllm._adapters.yaml_document import read_document
from hybridllm._core.policy.compile_prices import compiled_sheet
from hybridllm._core.policy.document import Findings, MapNode
from hybridllm._core.policy.references_prices import check_sheet
from hybridllm._core.policy.repriced import PriceSheet
from hybridllm._core.policy.wording import validated_sheet
from hybridllm.errors import PolicyError


def load_price_sheet(path: str | Path) -> PriceSheet:
    """Return a price sheet from its file: `version: 1`, `prices`, and `currencies` if it needs them.

    Raises:
        PolicyError: With every problem found.
    """
    return read_price_sheet(content(path, str(path)), source=str(path), name=Path(path).stem)


def read_price_sheet(data: bytes, *, source: str, name: str) -> PriceSheet:
    """Return a price sheet from its text.

    Args:
        data: The file.
        source: What problems call it.
        name: Of the sheet.

    Raises:
        PolicyError: With every problem found.
    """
    findings = Findings(source)
    root = read_document(data, findings)
    spec = None if root is None else validated_sheet(root, findings)
    if isinstance(root, MapNode):
        check_sheet(root, findings)
    if spec is None or findings.failed:
        raise PolicyError(source, findings.in_order())
    version = f"sha256:{hashlib.sha256(data).hexdigest()[:12]}"
    return PriceSheet(name, version, compiled_sheet(spec.prices, spec.currencies))
