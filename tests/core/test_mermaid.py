"""A decision as a flowchart: whatever anything is called, the chart is whole and nothing else is in it."""

from __future__ import annotations

import re
from typing import Any

import pytest

from core.test_explain import NIGHT, NOON, explained, explained_at
from hybridllm._core.decide.explain import Explanation
from hybridllm._core.decide.mermaid import LABEL_CHARS_MAX
from hybridllm._core.decide.world import World

# A whole line of a chart: a box with a quoted label, an arrow between two boxes, a style. Inside quotes
# stand letters, digits, harmless signs, codes of the others, and our own line breaks.
_LABEL = r'"(?:[^\W_]|[ .,\-/\'?()=+…]|#\d+;|<br/>)*"'
_SHAPES = rf"(?:\(\[{_LABEL}\]\)|\[/{_LABEL}/\]|\{{{_LABEL}\}}|\[{_LABEL}\])"
_BOX = re.compile(rf"  ([a-z]+\d*){_SHAPES}(?::::(?:answers|out|denied))?")
_ARROW = re.compile(rf"  ([a-z]+\d*) (?:-->|-\.->|==>)(?:\|{_LABEL}\|)? ([a-z]+\d*)")
_STYLE = re.compile(r"  classDef (?:answers|out|denied) [a-z\-:,0-9p x]+")

HOSTILE = [
    "end", "END", "end subgraph", '"];click a href "javascript:alert(1)"', "a --> b", "%%{init: {}}%%",
    "`md`", "**bold** _i_", "- list", "1. list", "# head", "<script>alert(1)</script>", "style x:#fff;;",
    "classDef a fill:#b;", "a\nb\r\nend\n", "#quot;", "&amp;", "graph TD", "[[a]]", "{{}}", "(((", "|a|",
    "\\", "\u202eabc", "é中\U0001f600", "$$x$$", "---", "~~~", "https://x.test/y", "a@{ shape: rect }",
    "x" * 600, "\udcff", "fa:fa-car",
]  # fmt: skip


def boxes_and_arrows(chart: str) -> tuple[list[str], list[tuple[str, str]]]:
    """Read a chart by a grammar much smaller than Mermaid's; what does not fit it fails."""
    head, *lines, end = chart.split("\n")
    assert (head, end) == ("flowchart TD", "")
    boxes, arrows = [], []
    for line in lines:
        if box := _BOX.fullmatch(line):
            boxes.append(box[1])
        elif arrow := _ARROW.fullmatch(line):
            arrows.append((arrow[1], arrow[2]))
        else:
            assert _STYLE.fullmatch(line), line
    return boxes, arrows


def whole(explanation: Explanation) -> list[str]:
    """Check that a chart is one: each box once, each arrow between boxes, nobody alone."""
    boxes, arrows = boxes_and_arrows(explanation.to_mermaid())
    assert len(set(boxes)) == len(boxes)
    assert {name for arrow in arrows for name in arrow} == set(boxes)
    return boxes


def test_a_chart_reads_like_this() -> None:
    """Request, tags, routes, constraints, then candidates; dropped ones beside the way."""
    told = explained_at(World(frozenset({"us"}), now_utc=NIGHT), feature="chat")
    assert told.to_mermaid() == (
        "flowchart TD\n"
        '  request(["operation chat, feature chat, environment production<br/>'
        'in a world with us down#59; at Tue 2026-12-01 23#58;00 UTC"])\n'
        '  tag1[/"residency public<br/>anything"/]\n'
        '  request -->|"the policy\'s default"| tag1\n'
        '  route1{"route office<br/>tenant acme-#42;#59; time from 08#58;00, to 18#58;00, zone UTC"}\n'
        "  tag1 --> route1\n"
        '  route2{"route trial<br/>task classify<br/>only observes"}\n'
        '  route1 -->|"no"| route2\n'
        '  route3{"route all<br/>always"}\n'
        '  route2 -->|"no"| route3\n'
        '  rule1[/"constraint thrift<br/>max#95;output#95;price 0.5<br/>'
        'only observes, would drop us/m, eu/m, eu/n"/]\n'
        '  route3 -->|"yes"| rule1\n'
        '  candidate1["(1) us/m<br/>down#59; about #36;0.001024"]\n'
        "  rule1 --> candidate1\n"
        '  candidate2["(2) eu/m<br/>about #36;0.001024"]:::answers\n'
        '  candidate1 -->|"down"| candidate2\n'
        '  candidate3["(3) eu/n"]\n'
        '  candidate2 -.->|"if it fails"| candidate3\n'
        '  answer(["eu/m answers (failover)"])\n'
        "  candidate2 ==> answer\n"
        "  classDef answers stroke:green,stroke-width:3px\n"
        "  classDef out stroke-dasharray:4 3\n"
        "  classDef denied stroke:red,stroke-width:3px\n"
    )


@pytest.mark.parametrize(
    ("told", "last"),
    [
        pytest.param(explained(), "answer", id="allowed"),
        pytest.param(explained(model="m"), "answer", id="pinned"),
        pytest.param(explained(residency="mars"), "denied", id="denied"),
        pytest.param(explained(residency="marz"), "denied", id="unknown-name"),
        pytest.param(explained_at(World(frozenset({"us", "eu"}))), "answer", id="exhausted"),
        pytest.param(
            explained_at(World(now_utc=NOON), tenant="acme-1", taints=("eu",)), "answer", id="split"
        ),
    ],
)
def test_every_decision_has_a_chart(told: Explanation, last: str) -> None:
    """It ends with who answers, or with the denial."""
    assert last in whole(told)


@pytest.mark.parametrize("name", HOSTILE, ids=[ascii(name)[:20] for name in HOSTILE])
def test_a_hostile_name_stays_a_word_in_a_box(name: str) -> None:
    """The chart has the boxes that it has with a harmless name, and no letter of the name outside quotes."""

    def told(word: str) -> list[Explanation]:
        given: dict[str, Any] = {
            "tenant": word, "feature": word, "session": word, "tags": frozenset({word}),
            "metadata": {"plan": word},
        }  # fmt: skip
        return [
            explained(**given),
            explained(residency=word),
            explained(task=word),
            explained(model=word),
        ]

    for hostile, harmless in zip(told(name), told("harmless"), strict=True):
        assert whole(hostile) == whole(harmless)


def test_a_long_name_is_cut() -> None:
    """A box stays a box."""
    (line,) = [
        line
        for line in explained(tenant="x" * 5_000).to_mermaid().split("\n")
        if "request([" in line
    ]
    assert "…" in line
    assert len(line) < LABEL_CHARS_MAX + 50


def test_those_dropped_for_one_reason_share_a_box() -> None:
    """Forty backends of a region are one box, not forty."""
    chart = explained(residency="mars").to_mermaid()
    assert '["eu/m<br/>eu/n"]:::out' in chart
    assert chart.count(":::out") == 2
