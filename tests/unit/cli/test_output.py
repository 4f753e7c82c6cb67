"""What strangers wrote reaches a terminal as text."""

from __future__ import annotations

import csv
import io
import json

import pytest

from airflow_mapping_kit.cli import output
from airflow_mapping_kit.cli.failures import Failure
from airflow_mapping_kit.cli.pieces import Told, print_status
from airflow_mapping_kit.printable import one_line

EVIL = "x\x1b]0;owned\x07\x1b[2J\x1b[H0 failed \x9b31m\r\u202e\u2066\x7f[red]z[/red]"
SHOWN = one_line(EVIL)


@pytest.fixture(autouse=True)
def no_terminal(monkeypatch):
    """Say nothing of the width of a terminal, which fixtures of other modules do, that may still be there."""
    monkeypatch.delenv("COLUMNS", raising=False)


def row(index):
    return {
        "map_index": index,
        "key": f"file={EVIL}",
        "label": f"{EVIL}\n",
        "state": "failed",
        "try_number": 1,
        "duration_s": 1.0,
        "value": None,
        "error": {"type": EVIL, "message": f"{EVIL}\nsecond"},
    }


def printed(capsys, form):
    print_status(
        "dag", f"run{EVIL}", "failed", [Told("load", [row(0), row(1)], EVIL)], only_failed=False, form=form
    )
    return capsys.readouterr().out


@pytest.mark.parametrize("form", [output.TABLE, output.JSON, output.CSV])
def test_a_terminal_is_told_nothing_by_strangers(capsys, form):
    shown = printed(capsys, form)
    assert one_line(shown.replace("\n", "")) == shown.replace("\n", "")


def test_a_table_shows_what_a_stranger_wrote(capsys):
    lines = printed(capsys, output.TABLE).splitlines()
    assert lines[0] == f"dag, run run{SHOWN}: failed"
    assert lines[3] == SHOWN
    assert lines[5].split("  ")[:3] == ["0", f"{SHOWN}\\n", "failed"]
    assert f"2 × {SHOWN}: {SHOWN}" in lines[-3]
    assert lines[-2:] == [f"  file={SHOWN}"] * 2


def test_programs_read_in_json_what_a_stranger_wrote(capsys):
    found = json.loads(printed(capsys, output.JSON))
    assert found["tasks"][0]["results"] == [row(0), row(1)]


def test_csv_keeps_lines_and_nothing_that_a_terminal_obeys(capsys):
    rows = list(csv.DictReader(io.StringIO(printed(capsys, output.CSV), newline="")))
    assert [one["error_message"] for one in rows] == [f"{SHOWN}\nsecond"] * 2
    assert rows[0]["duration_s"] == "1.0"


def test_an_error_of_the_program_is_no_exception(capsys):
    Failure(EVIL).show()
    assert capsys.readouterr().err.replace("\n", " ").split() == f"Error: {SHOWN}".split()


class Coming:
    """A million rows that are made when they are read; it says how many were."""

    def __init__(self, number):
        self.number, self.read = number, 0

    def __iter__(self):
        for index in range(self.number):
            self.read += 1
            yield {**row(index), "key": f"day={index % 7}/n={index}", "label": "", "error": None}


def test_a_table_reads_no_more_rows_than_it_shows(capsys):
    rows, failed = Coming(1_000_000), Coming(3)
    told = Told("load", rows, states={"success": 999_997, "failed": 3}, failures=failed)
    assert print_status("dag", "run", "failed", [told], only_failed=False, form=output.TABLE)
    printed = capsys.readouterr().out
    assert "load: 1,000,000 pieces: 999,997 success, 3 failed" in printed
    assert "and 999,950 more" in printed
    assert "3 × failed" in printed
    assert (rows.read, failed.read) == (output.ROWS, 3)


def test_json_and_csv_have_all_rows_and_never_more_than_a_thousand_in_memory(monkeypatch):
    rows, written = Coming(20_000), []
    ahead = []

    def echo(text, **_):
        written.append(text)
        ahead.append(rows.read - sum(part.count('"map_index": ') for part in written))

    monkeypatch.setattr(output.click, "echo", echo)
    print_status("dag", "run", "failed", [Told("load", rows)], only_failed=False, form=output.JSON)
    rows.read, answer = 0, json.loads("".join(written))
    assert [one["map_index"] for one in answer["tasks"][0]["results"]] == list(range(20_000))
    assert answer["tasks"][0]["states"] == {"failed": 20_000}
    written.clear()
    print_status("dag", "run", "failed", [Told("load", rows)], only_failed=True, form=output.CSV)
    found = list(csv.DictReader(io.StringIO("".join(written))))
    assert [int(one["map_index"]) for one in found] == list(range(20_000))
    assert len(written) > 20_000 / 1000
    assert max(map(len, written)) < 1000 * 100
