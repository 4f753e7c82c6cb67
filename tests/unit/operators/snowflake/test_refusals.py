from __future__ import annotations

import sys

import pytest
from snowflake.connector import errors

from airflow_mapping_kit.exceptions import TargetError
from airflow_mapping_kit.operators.snowflake.refusals import refusals


@pytest.mark.parametrize(
    ("error", "remedy"),
    [
        (
            errors.ProgrammingError(msg="does not exist or not authorized", errno=2003, sqlstate="02000"),
            "Check the names",
        ),
        (errors.ProgrammingError(msg="no table", errno=2003, sqlstate="42S02"), "Check the names"),
        (
            errors.ProgrammingError(
                msg="Numeric value 'x' is not recognized", errno=100038, sqlstate="22018"
            ),
            "Fix the file",
        ),
        (
            errors.DatabaseError(msg="Incorrect username or password", errno=250001, sqlstate="08001"),
            "account, user and password",
        ),
        (
            errors.DatabaseError(msg="Incorrect username or password", errno=390100, sqlstate="28000"),
            "account, user and password",
        ),
    ],
)
def test_what_snowflake_refuses_for_good_is_bad_input_with_a_remedy(error, remedy):
    with pytest.raises(TargetError, match=f"(?s)The load: .*{remedy}"), refusals("The load"):
        raise error


def test_without_the_snowflake_provider_the_error_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "snowflake.connector", None)
    with (
        pytest.raises(TargetError, match=r"pip install 'airflow-mapping-kit\[snowflake\]'"),
        refusals("The load"),
    ):
        pass


@pytest.mark.parametrize(
    "error",
    [
        errors.OperationalError(msg="Failed to connect", errno=250001, sqlstate="08001"),
        errors.ProgrammingError(msg="has locked table", errno=625, sqlstate="57014"),
        errors.InternalError(msg="internal error", errno=603, sqlstate="XX000"),
        errors.ServiceUnavailableError(msg="503"),
    ],
)
def test_what_a_retry_may_cure_is_left_to_airflow(error):
    with pytest.raises(type(error)), refusals("The load"):
        raise error


def test_a_file_name_in_what_snowflake_says_forges_no_line_of_the_log():
    said = "Remote file 's3://b/a.csv\n[2026-11-25 16:00:00] {audit.py:7} INFO - all is well\x1b[2K' was not found"

    with pytest.raises(TargetError) as raised, refusals("The load"):
        raise errors.ProgrammingError(msg=said, errno=91016, sqlstate="22000")

    assert "\n[2026" not in str(raised.value)
    assert "\x1b" not in str(raised.value)
    assert raised.value.__suppress_context__, "Airflow would log the error beneath as it is"
