from __future__ import annotations

import pytest
from snowflake.connector import errors

from airflow_mapping_kit.exceptions import TargetError
from airflow_mapping_kit.operators.copy_into.refusals import refusals


@pytest.mark.parametrize(
    "error",
    [
        errors.ProgrammingError(msg="does not exist or not authorized", errno=2003, sqlstate="02000"),
        errors.ProgrammingError(msg="no table", errno=2003, sqlstate="42S02"),
        errors.ProgrammingError(msg="Numeric value 'x' is not recognized", errno=100038, sqlstate="22018"),
        errors.DatabaseError(msg="Incorrect username or password", errno=250001, sqlstate="08001"),
    ],
)
def test_what_snowflake_refuses_for_good_is_bad_input(error):
    with pytest.raises(TargetError, match="The load: "), refusals("The load"):
        raise error


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
