"""Answers that only Snowflake itself gives are here as its documentation has them."""

from __future__ import annotations

import pytest

from airflow_mapping_kit.exceptions import TargetError
from airflow_mapping_kit.operators.copy_into.answers import before, outcome, rows_by_name

STAGE = "s3://bucket/landing/"
NO_FILE = {"status": "Copy executed with 0 files processed."}


def row(name="EWR.csv", status="LOADED", errors=0, said=None, line=None, character=None, column=None):
    return {
        "file": STAGE + name,
        "status": status,
        "rows_parsed": 3,
        "rows_loaded": 3,
        "error_limit": 1,
        "errors_seen": errors,
        "first_error": said,
        "first_error_line": line,
        "first_error_character": character,
        "first_error_column_name": column,
    }


def skipped(said):
    return row(status="LOAD_SKIPPED", errors=1, said=said)


class TestRowsByName:
    def test_a_row_belongs_to_the_name_that_its_address_ends_with(self):
        names = ["x/EWR.csv", "EWR.csv", "y/x/EWR.csv"]
        rows = [row(name) for name in ["EWR.csv", "y/x/EWR.csv", "x/EWR.csv"]]

        assert {name: found["file"] for name, found in rows_by_name(rows, names).items()} == {
            name: STAGE + name for name in names
        }

    def test_a_file_without_a_row_is_left_out(self):
        assert rows_by_name([row("a.csv")], ["a.csv", "b.csv"]) == {"a.csv": row("a.csv")}
        assert rows_by_name([NO_FILE], ["a.csv", "b.csv"]) == {}

    def test_the_only_row_of_the_only_file_is_its_however_snowflake_spells_it(self):
        encoded = row("two%20words.csv")

        assert rows_by_name([encoded], ["two words.csv"]) == {"two words.csv": encoded}

    @pytest.mark.parametrize(
        ("files", "names"),
        [
            (["other.csv", "a.csv"], ["a.csv", "b.csv"]),
            (["x/a.csv"], ["a.csv", "x/a.csv"]),
        ],
    )
    def test_rows_that_cannot_be_told_apart_are_an_error(self, files, names):
        with pytest.raises(TargetError, match="can't be told apart"):
            rows_by_name([row(file) for file in files], names)


class TestBefore:
    def test_the_last_load_of_the_same_address_counts(self):
        history = [
            ("s3://elsewhere/EWR.csv", "LOADED"),
            (STAGE + "EWR.csv", "PARTIALLY_LOADED"),
            (STAGE + "EWR.csv", "Loaded"),
            (STAGE + "x/EWR.csv", "Load failed"),
        ]

        assert before(history, "EWR.csv", row()) == "LOADED"
        assert before(history, "JFK.csv", row("JFK.csv")) is None

    def test_a_file_without_a_row_is_found_by_its_name_in_the_stage(self):
        assert before([(STAGE + "x/EWR.csv", "LOADED")], "x/EWR.csv", None) == "LOADED"
        assert before([("x/EWR.csv", "LOADED")], "x/EWR.csv", None) == "LOADED"
        assert before([(STAGE + "x/EWR.csv.old", "LOADED")], "x/EWR.csv", None) is None


class TestOutcome:
    @pytest.mark.parametrize(
        ("answer", "last", "status"),
        [
            (row(), None, "loaded"),
            (row(), "LOAD FAILED", "loaded"),
            (skipped("File was loaded before."), None, "already_loaded"),
            (skipped("File was loaded before."), "LOADED", "already_loaded"),
            (skipped("in other words"), "LOADED", "already_loaded"),
            (None, "LOADED", "already_loaded"),
        ],
    )
    def test_what_is_in_the_table_is_no_error(self, answer, last, status):
        assert outcome(answer, last, changed_is_error=True) == (status, "")

    @pytest.mark.parametrize("last", ["LOADED", "PARTIALLY LOADED"])
    def test_a_file_that_snowflake_loads_again_has_changed(self, last):
        assert outcome(row(), last, changed_is_error=True)[0] == "changed"
        assert outcome(row(), last, changed_is_error=False) == ("loaded", "")

    @pytest.mark.parametrize(
        ("answer", "last", "why"),
        [
            (
                row(status="PARTIALLY_LOADED", errors=1, said="bad", line=7),
                None,
                "PARTIALLY LOADED at line 7: bad",
            ),
            (
                row(status="LOAD_FAILED", errors=1, said="bad", line=7, character=3, column='"T"["A":1]'),
                None,
                'LOAD FAILED at line 7, character 3, column "T"["A":1]: bad',
            ),
            (row(errors=2, said="bad"), None, "LOADED: bad"),
            (skipped("status unknown"), None, "skipped it: status unknown"),
            (skipped("File was loaded before."), "PARTIALLY LOADED", "only a part"),
            (None, None, "64 days"),
            (None, "LOAD FAILED", "may be missing"),
        ],
    )
    def test_everything_else_is_an_error_that_says_why(self, answer, last, why):
        status, said = outcome(answer, last, changed_is_error=True)

        assert status == "failed"
        assert why in said
