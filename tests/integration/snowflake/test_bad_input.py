"""What can't be loaded: one error that says what and where, no retries, nothing in the table."""

from __future__ import annotations

import json

import pytest

from airflows import AirflowFailException

KEY = "landing/20130101/EWR.csv"
OTHER = "landing/20130101/JFK.csv"


@pytest.fixture
def landed(warehouse):
    warehouse.put(KEY, b"1,EWR\n2,EWR\n")
    warehouse.put(OTHER, b"3,JFK\n")
    return warehouse


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        ({"table": "nowhere"}, "NOWHERE"),
        ({"stage": "nowhere"}, "NOWHERE"),
        ({"file_format": "nowhere"}, "NOWHERE"),
        ({"file_format": "(TYPE = PARQUET)"}, "PARQUET"),
    ],
)
def test_an_unknown_table_stage_or_format_is_named(landed, arguments, named):
    with pytest.raises(AirflowFailException, match=named):
        landed.load(KEY, **arguments)

    assert landed.rows() == []


@pytest.mark.parametrize(
    ("url", "bucket"),
    [
        # Another folder with a file of the same tail, and the right one in another bucket than the keys.
        ("s3://{bucket}/landing_eu/", None),
        ("s3://{bucket}/landing/", "keys-are-here"),
    ],
)
def test_a_stage_that_is_elsewhere_than_the_keys_loads_nothing(landed, url, bucket):
    landed.put("landing_eu/20130101/EWR.csv", b"9,EU\n")
    landed.sql(f"CREATE STAGE ELSEWHERE URL = '{url.format(bucket=landed.bucket)}'")

    with pytest.raises(
        AirflowFailException, match=r"(?s)isn't one of the files that were asked for.*stage's URL"
    ):
        landed.load(KEY, stage="elsewhere", bucket=bucket)

    assert landed.rows() == []


def test_a_file_that_snowflake_says_nothing_of_is_an_error_though_one_of_its_name_was_loaded(landed):
    landed.sql(f"CREATE STAGE EU URL = 's3://{landed.bucket}/landing_eu/'")
    landed.put("landing_eu/20130102/EWR.csv", b"9,EU\n")
    landed.load("landing_eu/20130102/EWR.csv", stage="eu", stage_prefix="landing_eu/")
    empty = landed.put("landing/20130102/EWR.csv", b"")

    for keys in (empty, [KEY, empty]):
        with pytest.raises(AirflowFailException, match=r"20130102/EWR\.csv': Snowflake said nothing of it"):
            landed.load(keys)

    assert landed.rows() == [(9, "EU")]


def test_a_missing_file_is_named_and_the_others_of_its_batch_are_not_loaded(landed):
    with pytest.raises(AirflowFailException, match=r"gone\.csv"):
        landed.load([KEY, "landing/gone.csv"])

    assert landed.rows() == []


@pytest.mark.parametrize("line", [b"three,EWR\n", b"3,EWR,too,many\n"])
def test_a_broken_line_is_told_with_its_file_and_number_and_nothing_is_loaded(landed, line):
    broken = landed.put("landing/20130101/LGA.csv", b"1,LGA\n2,LGA\n" + line + b"4,LGA\n")

    with pytest.raises(AirflowFailException, match=r"(?s)20130101/LGA\.csv.*Line: 3"):
        landed.load([KEY, broken])

    assert landed.rows() == []
    assert landed.load(KEY)[0]["status"] == "loaded"


def test_a_format_that_does_not_fit_the_file_is_an_error(landed):
    with pytest.raises(AirflowFailException, match=r"20130101/EWR\.csv"):
        landed.load(KEY, file_format="(TYPE = CSV FIELD_DELIMITER = '|')")

    assert landed.rows() == []


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ([], "empty"),
        (["elsewhere/EWR.csv"], r"'elsewhere/EWR\.csv' doesn't start with stage_prefix='landing/'"),
        ([KEY, KEY], "twice"),
        ([KEY, "landing/"], "no file's key"),
        ([KEY, None], "None is not a key"),
        ([[KEY]], "is not a key"),
        ({"key": KEY}, "mapping"),
    ],
)
def test_keys_that_cannot_be_loaded_are_refused_before_anything_is_asked(
    landed, through_proxy, keys, message
):
    proxy = through_proxy()

    with pytest.raises(AirflowFailException, match=message):
        landed.load(keys)

    assert proxy.statements == []


def test_a_refused_login_is_not_tried_again(landed, snowflake, monkeypatch):
    connection = snowflake.connection(password="not-the-one", database=landed.database)
    monkeypatch.setenv("AIRFLOW_CONN_SNOWFLAKE_DEFAULT", json.dumps(connection))

    with pytest.raises(AirflowFailException, match="Incorrect username or password"):
        landed.load(KEY)
