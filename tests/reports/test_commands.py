"""`hybridllm costs`, `audit` and `report` as their users meet them."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from hybridllm.cli.app import app_with
from reports.months import attempt, machine, month, request, us, written

GOLDEN = Path(__file__).parent / "costs.json"


def run(*arguments: object) -> Result:
    names = ("costs", "audit", "report")
    return CliRunner().invoke(app_with(names), [str(one) for one in arguments])


@pytest.fixture(scope="module")
def ledger(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A month that is over, settled."""
    folder = tmp_path_factory.mktemp("ledger")
    made = written(
        folder / "ledger.db",
        month(300, first="2025-11-01"),
        [machine("2025-11-01"), _end("2025-12-01")],
    )
    assert run("costs", made, "--settle").exit_code == 0
    return made


def _end(day: str):
    return machine(day, "0", hidden_usd_per_month="0")


def test_costs_are_shown_by_tenant_with_a_total(ledger: Path) -> None:
    """Rows, machines, what it had cost elsewhere, and what nobody knows."""
    result = run("costs", ledger, "--since", "2025-11", "--model", "gpt-4o")
    assert result.exit_code == 0, result.output
    lines = result.stdout.splitlines()
    cells = [line.split() for line in lines]
    money = [
        float(c[1].strip("$").replace(",", "")) for c in cells if len(c) > 8 and c[1][0] == "$"
    ]
    assert len(money) >= 5
    assert round(sum(money[:-1]), 2) == money[-1]
    for words in ("(none)", "Paid by the month", "all on gpt-4o", "not known: what"):
        assert words in result.stdout


def test_costs_as_json_are_these(ledger: Path) -> None:
    """A golden file: whoever reads it by a program is not surprised. Amounts are texts, and exact."""
    result = run(
        "costs", ledger, "--since", "2025-11", "--by", "model", "--model", "glm-4-9b", "--json"
    )
    found = json.loads(result.stdout)
    found["ledger"] = "ledger.db"
    if (
        not GOLDEN.exists()
    ):  # removed on purpose: `pytest tests/reports/test_commands.py` writes it anew
        GOLDEN.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    assert found == json.loads(GOLDEN.read_text(encoding="utf-8"))


def test_comma_separated_values_are_exact_and_no_formulas(tmp_path: Path) -> None:
    """A tenant may be called anything; a spreadsheet must not run it."""
    names = ['=cmd|"/c calc"!A0', "+1", "-1+1", "@SUM(A1)", "\t=1", " =1", 'a"b,c', "-0"]
    made = [
        (request(f"{n:032x}", tenant=name), [attempt(f"{n:032x}", tenant=name)])
        for n, name in enumerate(names)
    ]
    path = written(tmp_path / "l.db", made)
    result = run("costs", path, "--csv")
    rows = list(csv.DictReader(io.StringIO(result.stdout)))
    told = {row["tenant"] for row in rows}
    assert told == {"'" + name for name in names[:6]} | {'a"b,c', "-0"}
    assert {row["spent_usd"] for row in rows} == {"0.000028000000"}


@pytest.mark.parametrize("keys", ["[1, 2]", "5", '"team"'])
def test_keys_that_no_router_wrote_are_nobodys(tmp_path: Path, keys: str) -> None:
    """A ledger may be somebody else's; the question gets an answer all the same."""
    made = [(request("a" * 32, keys=keys), [attempt("a" * 32, keys=keys)])]
    result = run("costs", written(tmp_path / "l.db", made), "--by", "team")
    assert result.exit_code == 2
    assert "declared keys in this ledger: none" in " ".join(result.output.split())


def test_a_name_cannot_move_the_cursor(tmp_path: Path) -> None:
    """An escape sequence in a tenant's name is shown, not obeyed."""
    made = [(request("a" * 32, tenant="\x1b[2Jevil"), [attempt("a" * 32, tenant="\x1b[2Jevil")])]
    result = run("costs", written(tmp_path / "l.db", made))
    assert "\\x1b[2Jevil" in result.stdout
    assert "\x1b" not in result.stdout


def test_many_rows_are_cut_on_the_screen_only(ledger: Path) -> None:
    """The total is of all of them."""
    result = run("costs", ledger, "--by", "day,tenant", "--top", 3)
    assert "more" in result.stdout
    assert len(result.stdout.splitlines()) < 25
    whole = run("costs", ledger, "--by", "day,tenant", "--top", 3, "--json")
    assert len(json.loads(whole.stdout)["rows"]) > 60


def test_an_empty_ledger_is_told(tmp_path: Path) -> None:
    """No table of nothing."""
    path = written(tmp_path / "l.db", [])
    assert "nothing was sent in this time" in run("costs", path).stdout
    assert "no request was answered" in run("audit", path).stdout
    assert run("costs", path, "--csv").stdout.startswith("tenant,spent_usd")


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (("costs", "nowhere.db"), 1, "there is no ledger nowhere.db"),
        (("costs", "LEDGER", "--by", "tennat"), 2, "'tennat' is none of tenant"),
        (("costs", "LEDGER", "--since", "soon"), 2, "'soon' is no time"),
        (("costs", "LEDGER", "--model", "gpt-44o"), 2, "no model 'gpt-44o'"),
        (("costs", "LEDGER", "--csv", "--json"), 2, "one of them"),
        (("costs", "LEDGER", "--plot", "a.txt"), 2, "ends in none of .png, .svg, .pdf"),
        (("costs", "LEDGER", "--policy", "nowhere.yaml"), 2, "there is no file nowhere.yaml"),
        (("report", "LEDGER", "--html", "/nowhere/a.html"), 2, "cannot be written"),
        (("report", "LEDGER", "--html", "a.html", "--month", "2025-13"), 2, "is no month"),
        (("audit", "LEDGER", "--since", "then"), 2, "'then' is no time"),
    ],
)
def test_wrong_usage_is_told(
    ledger: Path, arguments: tuple[str, ...], code: int, words: str
) -> None:
    """The value, and what would have been right."""
    result = run(*(ledger if one == "LEDGER" else one for one in arguments))
    assert result.exit_code == code
    assert words in " ".join(result.output.split())


@pytest.mark.parametrize(("name", "begins"), [("a.png", b"\x89PNG"), ("a.svg", b"<?xml")])
@pytest.mark.parametrize("by", ["tenant", "day,backend"])
def test_a_picture_is_drawn(
    ledger: Path, tmp_path: Path, by: str, name: str, begins: bytes
) -> None:
    """Of bars, or stacked over the days; the report is printed all the same."""
    result = run("costs", ledger, "--by", by, "--plot", tmp_path / name)
    assert result.exit_code == 0, result.output
    assert (tmp_path / name).read_bytes().startswith(begins)
    assert "Paid by the month" in result.stdout


def test_an_audit_names_what_would_have_been_saved(ledger: Path) -> None:
    """In words, and as JSON."""
    result = run("audit", ledger, "--since", "2025-11")
    assert result.exit_code == 0, result.output
    assert "glm-4-9b" in result.stdout
    assert "costs hold" in result.stdout
    found = json.loads(run("audit", ledger, "--since", "2025-11", "--json").stdout)
    assert {"task", "model", "tier", "finding", "words", "would_save_usd"} <= found["findings"][
        0
    ].keys()


def test_a_month_is_written_to_a_page(ledger: Path, tmp_path: Path) -> None:
    """And told in a line, or as JSON."""
    result = run("report", ledger, "--html", tmp_path / "a.html", "--month", "2025-11")
    assert result.exit_code == 0, result.output
    assert "November 2025" in result.stdout
    told = json.loads(
        run("report", ledger, "--html", tmp_path / "a.html", "--month", "2025-11", "--json").stdout
    )
    assert told["file"] == str(tmp_path / "a.html")
    assert told["total"]["fixed_usd"] == "1800.000000000000"


def test_a_report_may_be_of_an_hour(tmp_path: Path) -> None:
    """Its attempts are those that were sent in it."""
    made = [(request("a" * 32), [attempt("a" * 32, started_us=us("2025-11-02", 5))])]
    path = written(tmp_path / "l.db", made)
    asked = ("--since", "2025-11-02T05:00", "--until", "2025-11-02T06:00", "--json")
    assert json.loads(run("costs", path, *asked).stdout)["total"]["attempts"] == 1
