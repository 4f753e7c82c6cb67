"""Answers that only Snowflake itself gives are here as its documentation has them."""

from __future__ import annotations

import pytest

from airflow_mapping_kit.exceptions import TargetError
from airflow_mapping_kit.operators.snowflake.answers import Load, before, outcome, rows_by_key

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


def names(*keys):
    return {f"landing/{name}": name for name in keys}


class TestRowsByKey:
    def test_a_row_belongs_to_the_key_that_is_its_whole_address(self):
        rows = [row(name) for name in ["EWR.csv", "y/x/EWR.csv", "x/EWR.csv"]]

        assert rows_by_key(rows, names("x/EWR.csv", "EWR.csv", "y/x/EWR.csv"), bucket="bucket") == {
            "landing/EWR.csv": rows[0],
            "landing/y/x/EWR.csv": rows[1],
            "landing/x/EWR.csv": rows[2],
        }

    def test_a_file_without_a_row_is_left_out(self):
        assert rows_by_key([row("a.csv")], names("a.csv", "b.csv")) == {"landing/a.csv": row("a.csv")}
        assert rows_by_key([NO_FILE], names("a.csv", "b.csv")) == {}

    def test_an_address_may_be_percent_encoded_and_a_name_without_its_stage(self):
        encoded = row("two%20words.csv")
        relative = {**row(), "file": "x/EWR.csv"}

        assert rows_by_key([encoded], names("two words.csv")) == {"landing/two words.csv": encoded}
        assert rows_by_key([relative], names("x/EWR.csv", "EWR.csv")) == {"landing/x/EWR.csv": relative}

    @pytest.mark.parametrize("line", ["a\nb.csv", "a%0Ab.csv"])
    def test_a_name_of_two_lines_is_one_address(self, line):
        assert list(rows_by_key([row(line)], names("a\nb.csv"))) == ["landing/a\nb.csv"]

    @pytest.mark.parametrize(
        "file",
        [
            "s3://bucket/landing_eu/a.csv",
            "s3://bucket/a.csv",
            "s3://bucket/landing/landing/a.csv",
            "s3://other/landing/a.csv",
            "other.csv",
        ],
    )
    def test_a_stage_that_is_elsewhere_than_the_keys_is_an_error(self, file):
        with pytest.raises(TargetError, match="isn't one of the files that were asked for.*stage's URL"):
            rows_by_key([{**row(), "file": file}], names("a.csv"), bucket="bucket")


class TestBefore:
    def test_the_last_load_of_the_same_address_counts(self):
        history = [
            ("s3://elsewhere/landing/EWR.csv", "LOADED"),
            (STAGE + "EWR.csv", "PARTIALLY_LOADED"),
            (STAGE + "EWR.csv", "Loaded"),
            (STAGE + "x/EWR.csv", "Load failed"),
        ]

        assert before(history, "landing/EWR.csv", "EWR.csv", row()) == Load("LOADED", whole=True)
        assert before(history, "landing/JFK.csv", "JFK.csv", row("JFK.csv")) is None

    @pytest.mark.parametrize(
        "other",
        [
            "s3://bucket/landing_eu/x/EWR.csv",
            "s3://other/landing/x/EWR.csv",
            "s3://bucket/landing/y/x/EWR.csv",
        ],
    )
    def test_another_file_with_the_same_tail_is_not_this_one(self, other):
        assert before([(other, "LOADED")], "landing/x/EWR.csv", "x/EWR.csv", row("x/EWR.csv")) is None
        assert before([(other, "LOADED")], "landing/x/EWR.csv", "x/EWR.csv", None) is None

    def test_a_history_without_addresses_is_enough_to_refuse_and_not_enough_for_loaded(self):
        last = before([("x/EWR.csv", "LOADED")], "landing/x/EWR.csv", "x/EWR.csv", row("x/EWR.csv"))

        assert last == Load("LOADED", whole=False)
        assert outcome(row(), last, changed_is_error=True)[0] == "changed"
        assert outcome(skipped("in other words"), last, changed_is_error=True)[0] == "failed"


LAST = {status: Load(status, whole=True) for status in ("LOADED", "PARTIALLY LOADED", "LOAD FAILED")} | {
    None: None
}


class TestOutcome:
    @pytest.mark.parametrize(
        ("answer", "last", "status"),
        [
            (row(), None, "loaded"),
            (row(), "LOAD FAILED", "loaded"),
            (skipped("File was loaded before."), None, "already_loaded"),
            (skipped("File was loaded before."), "LOADED", "already_loaded"),
            (skipped("in other words"), "LOADED", "already_loaded"),
        ],
    )
    def test_what_is_in_the_table_is_no_error(self, answer, last, status):
        assert outcome(answer, LAST[last], changed_is_error=True) == (status, "")

    @pytest.mark.parametrize("last", ["LOADED", "PARTIALLY LOADED"])
    def test_a_file_that_snowflake_loads_again_has_changed(self, last):
        assert outcome(row(), LAST[last], changed_is_error=True)[0] == "changed"
        assert outcome(row(), LAST[last], changed_is_error=False) == ("loaded", "")

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
            (skipped(""), "LOAD FAILED", "64 days"),
            (None, None, "said nothing of it"),
            (None, "LOADED", "said nothing of it"),
        ],
    )
    def test_everything_else_is_an_error_that_says_why(self, answer, last, why):
        status, said = outcome(answer, LAST[last], changed_is_error=True)

        assert status == "failed"
        assert why in said
