"""Results of tests as JUnit XML, which every CI system shows."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING
from xml.etree.ElementTree import Element, SubElement, indent, tostring

if TYPE_CHECKING:
    from hybridllm import CaseResult
    from hybridllm.cli.test import Tested


def written(found: Iterable[Tested]) -> str:
    """Return the results as a document: a suite for each policy."""
    root = Element("testsuites")
    for one in found:
        suite = SubElement(root, "testsuite", name=str(one.path))
        failed = sum(not result.passed for result in one.selected)
        for result in one.selected:
            _case(suite, result, str(one.path))
        if one.error is not None:
            _failed(suite, "loads", str(one.path), "error", str(one.error))
        if one.too_little is not None:
            _failed(suite, "coverage", str(one.path), "failure", one.too_little)
            failed += 1
        suite.set("tests", str(len(suite)))
        suite.set("failures", str(failed))
        suite.set("errors", str(int(one.error is not None)))
    indent(root)
    return f'<?xml version="1.0" encoding="utf-8"?>\n{tostring(root, encoding="unicode")}\n'


def _case(suite: Element, result: CaseResult, path: str) -> None:
    case = SubElement(suite, "testcase", name=result.case.name, classname=path)
    case.set("file", result.case.file)
    case.set("line", str(result.case.line))
    if not result.passed:
        SubElement(case, "failure", message=result.difference()).text = str(result)


def _failed(suite: Element, name: str, path: str, kind: str, text: str) -> None:
    case = SubElement(suite, "testcase", name=name, classname=path)
    SubElement(case, kind, message=text.partition("\n")[0]).text = text
