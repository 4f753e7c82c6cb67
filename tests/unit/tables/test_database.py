from __future__ import annotations

import os
import subprocess
import sys
from datetime import date

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_mapping_kit.exceptions import MappingKitError, QueryError
from airflow_mapping_kit.tables.database import connected, expression, identifier, literal


@pytest.fixture(scope="module")
def connection(tmp_path_factory):
    with connected("100MiB", 1, tmp_path_factory.mktemp("scratch")) as connected_to:
        yield connected_to


texts = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"))


@given(text=texts)
def test_a_literal_is_its_text(connection, text):
    assert connection.execute(f"SELECT {literal(text)}").fetchone() == (text,)


@given(name=texts.filter(bool))
def test_an_identifier_is_its_name(connection, name):
    assert connection.execute(f"SELECT 1 AS {identifier(name)}").description[0][0] == name


@given(
    value=st.none() | st.booleans() | texts | st.floats(allow_nan=False) | st.integers(-(2**127), 2**127 - 1)
)
def test_an_expression_is_its_value_and_type(connection, value):
    (found,) = connection.execute(f"SELECT {expression(value)}").fetchone()
    assert (found, type(found)) == (value, type(value))


@given(text=texts)
def test_an_expression_holds_no_character_of_a_text(text):
    inside = expression(text).removeprefix("decode(from_hex('").removesuffix("'))")
    assert set(inside) <= set("0123456789abcdef")


@pytest.mark.parametrize(
    ("value", "sql_type"), [(7, "INTEGER"), (2**31, "BIGINT"), (-(2**63) - 1, "HUGEINT")]
)
def test_an_integer_has_the_narrowest_type(connection, value, sql_type):
    assert connection.execute(f"SELECT typeof({expression(value)})").fetchone() == (sql_type,)


def test_a_value_that_is_no_scalar_is_refused():
    with pytest.raises(QueryError, match=r"\['a'\] of type list can't be a parameter: use text"):
        expression(["a"])


@pytest.mark.parametrize("limit", ["lots", "1 Gigglebyte", ""])
def test_a_memory_limit_that_duckdb_does_not_know_is_named(tmp_path, limit):
    with (
        pytest.raises(MappingKitError, match=f"DuckDB refuses memory_limit='{limit}', threads=1 .*'1GiB'"),
        connected(limit, 1, tmp_path),
    ):
        pass


def test_without_duckdb_the_error_says_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "duckdb", None)
    with (
        pytest.raises(MappingKitError, match=r"pip install 'airflow-mapping-kit\[duckdb\]'"),
        connected("1GiB", 1, tmp_path),
    ):
        pass


def test_the_day_of_a_moment_is_that_of_utc_wherever_the_worker_is(tmp_path):
    code = (
        "import sys; from pathlib import Path; from airflow_mapping_kit.tables.database import connected\n"
        "with connected('100MiB', 1, Path(sys.argv[1])) as connection:\n"
        "    print(connection.execute(\"SELECT (TIMESTAMPTZ '2024-01-02 02:00:00+00')::DATE::VARCHAR\").fetchone())"
    )
    for zone in ("America/New_York", "Asia/Kolkata"):
        done = subprocess.run(
            [sys.executable, "-c", code, str(tmp_path)],
            env={**os.environ, "TZ": zone},
            check=True,
            capture_output=True,
            text=True,
        )
        assert done.stdout == "('2024-01-02',)\n"


@pytest.mark.parametrize(
    ("timezone", "day"), [("UTC", date(2024, 1, 2)), ("America/New_York", date(2024, 1, 1))]
)
def test_the_day_of_a_moment_is_that_of_the_zone_asked_for(tmp_path, timezone, day):
    with connected("100MiB", 1, tmp_path, timezone) as connection:
        found = connection.execute("SELECT (TIMESTAMPTZ '2024-01-02 02:00:00+00')::DATE").fetchone()
    assert found == (day,)


@pytest.mark.parametrize(
    ("timezone", "said"),
    [
        ("Mars/Base", "DuckDB refuses timezone='Mars/Base' .*'Europe/Berlin'"),
        ("it's", "DuckDB refuses timezone=.*'Europe/Berlin'"),
        *((one, rf"the offset \{one}, only of whole hours .*: name .* timezone='Asia/Kolkata' for \+05:30")
          for one in ("+05:30", "-13:00", "+15:00")),
    ],
)  # fmt: skip
def test_a_time_zone_that_duckdb_does_not_know_is_named(tmp_path, timezone, said):
    with pytest.raises(MappingKitError, match=said), connected("100MiB", 1, tmp_path, timezone):
        pass
