"""What is said to Snowflake beside the files: each option as the server got it, and what came of it."""

from __future__ import annotations

import json
import re

import pendulum
import pytest

from airflow_mapping_kit.compat import AIRFLOW_3
from airflow_mapping_kit.operators.snowflake import S3KeysToSnowflakeOperator
from airflow_mapping_kit.operators.snowflake.links import QueryLink
from airflow_mapping_kit.operators.snowflake.transform import TransformOperator
from airflows import DAG, AirflowFailException

KEY = "landing/20130101/EWR.parquet"
CSV = "landing/20130101/EWR.csv"
CONSOLE = "https://app.snowflake.com/mappingkit/local_tests/#/compute/history/queries"


@pytest.fixture
def parquet(warehouse, tmp_path):
    """A file whose columns have the table's names, in small letters and another order, and one more."""
    import duckdb

    file = tmp_path / "flights.parquet"
    duckdb.sql(f"COPY (SELECT 'EWR' AS origin, 0.5 AS delay, 7 AS number) TO '{file}' (FORMAT parquet)")
    warehouse.put(KEY, file.read_bytes())
    return warehouse


def copy_of(proxy):
    (statement,) = (sql for sql in proxy.statements if sql.startswith("COPY INTO"))
    return statement


def test_parquet_goes_by_the_names_of_its_columns(parquet, through_proxy):
    proxy = through_proxy()
    arguments = {"file_format": "(TYPE = PARQUET)", "match_by_column_name": "CASE_INSENSITIVE"}

    (row,) = parquet.load(KEY, **arguments)

    assert row == {"key": KEY, "status": "loaded", "rows_parsed": 1, "rows_loaded": 1}
    assert parquet.rows() == [(7, "EWR")]
    assert " FILE_FORMAT = (TYPE = PARQUET) MATCH_BY_COLUMN_NAME = CASE_INSENSITIVE ON_ERROR = " in copy_of(
        proxy
    )
    assert parquet.load(KEY, **arguments)[0]["status"] == "already_loaded"


def test_columns_whose_names_differ_in_case_are_others_where_case_is_looked_at(parquet):
    parquet.load(KEY, file_format="(TYPE = PARQUET)", match_by_column_name="CASE_SENSITIVE")

    assert parquet.rows() == [(None, None)]


def test_parquet_by_position_is_refused_and_the_error_says_what_to_write(parquet):
    with pytest.raises(AirflowFailException, match="say match_by_column_name='CASE_INSENSITIVE'"):
        parquet.load(KEY, file_format="(TYPE = PARQUET)")

    assert parquet.rows() == []


def test_columns_that_are_listed_get_what_stands_there_in_the_file(warehouse, through_proxy):
    warehouse.put(CSV, b"EWR,7\n")
    proxy = through_proxy()

    warehouse.load(CSV, columns_array=["origin", '"NUMBER"'])

    assert warehouse.rows() == [(7, "EWR")]
    assert (
        f'"PUBLIC"."FLIGHTS" ("ORIGIN", "NUMBER") FROM @"{warehouse.database}"."PUBLIC"."LANDING"/ FILES'
        in (copy_of(proxy))
    )


def test_a_column_that_is_listed_and_unknown_is_an_error(warehouse):
    warehouse.put(CSV, b"EWR,7\n")

    with pytest.raises(AirflowFailException, match="invalid identifier 'DROP TABLE'"):
        warehouse.load(CSV, columns_array=["origin", '"DROP TABLE"'])


def test_expressions_over_a_file_are_loaded_with_its_name_and_each_file_once(parquet, through_proxy):
    parquet.sql("CREATE TABLE WIDE (ORIGIN VARCHAR, NUMBER INT, FILE VARCHAR, N INT)")
    proxy = through_proxy()
    arguments = {
        "table": "wide",
        "file_format": "(TYPE = PARQUET)",
        "select": "upper($1:origin::text), t.$1:number::int + 1, -- the file's\n METADATA$FILENAME, "
        "METADATA$FILE_ROW_NUMBER",
    }

    assert parquet.load(KEY, **arguments)[0]["status"] == "loaded"
    assert parquet.load(KEY, **arguments)[0]["status"] == "already_loaded"

    assert parquet.rows("WIDE") == [("EWR", 8, KEY, 1)]
    copy = next(sql for sql in proxy.statements if sql.startswith("COPY"))
    assert (
        f'FROM (SELECT {arguments["select"]}\nFROM @"{parquet.database}"."PUBLIC"."LANDING"/ t) FILES = ('
        in copy
    )


def test_positions_of_a_csv_go_into_the_columns_that_are_listed(warehouse):
    warehouse.put(CSV, b"EWR,x,7\nJFK,y,8\n")

    warehouse.load(CSV, select="$3::int, $1", columns_array=["number", "origin"])

    assert warehouse.rows() == [(7, "EWR"), (8, "JFK")]


def test_a_file_that_an_expression_does_not_fit_is_an_error_and_loads_nothing(warehouse):
    other = warehouse.put("landing/a.csv", b"1,EWR\n")
    warehouse.put(CSV, b"seven,EWR\n")

    with pytest.raises(AirflowFailException, match=r"20130101/EWR\.csv"):
        warehouse.load([other, CSV], select="$1::int, $2")

    assert warehouse.rows() == []


def test_options_that_keep_the_promise_are_passed_on(parquet, through_proxy):
    parquet.sql("CREATE TABLE KNOWN (NUMBER INT, ORIGIN VARCHAR, FILE VARCHAR)")
    proxy = through_proxy()

    parquet.load(
        KEY,
        table="known",
        file_format="(TYPE = PARQUET)",
        match_by_column_name="CASE_INSENSITIVE",
        copy_options={
            "INCLUDE_METADATA": {"file": "METADATA$FILENAME"},
            "truncatecolumns": True,
            "LOAD_MODE": "FULL_INGEST",
        },
    )

    assert parquet.rows("KNOWN") == [(7, "EWR", KEY)]
    assert copy_of(proxy).endswith(
        "ON_ERROR = ABORT_STATEMENT FORCE = FALSE PURGE = FALSE LOAD_UNCERTAIN_FILES = FALSE TRUNCATECOLUMNS = TRUE "
        'ENFORCE_LENGTH = FALSE RETURN_FAILED_ONLY = FALSE LOAD_MODE = FULL_INGEST INCLUDE_METADATA = ("FILE" = '
        "METADATA$FILENAME)"
    )


def test_a_query_tag_joins_the_parameters_that_the_connection_has_for_the_session(
    warehouse, through_proxy, monkeypatch
):
    connection = json.loads(json.dumps(warehouse.connection))
    connection["extra"]["session_parameters"] = {"TIMEZONE": "Europe/Berlin", "QUERY_TAG": "whatever"}
    monkeypatch.setenv("AIRFLOW_CONN_SNOWFLAKE_DEFAULT", json.dumps(connection))
    warehouse.put(CSV, b"7,EWR\n")
    proxy = through_proxy()

    operator = warehouse.operator(CSV, query_tag="{{ task.task_id }} of 'flights'")
    operator.render_template_fields({"task": operator})
    operator.execute({})
    TransformOperator(task_id="transform", sql="SELECT 1", query_tag="transform").execute({})
    warehouse.load(CSV)

    asked = [
        (login["SESSION_PARAMETERS"]["QUERY_TAG"], login["SESSION_PARAMETERS"]["TIMEZONE"])
        for login in proxy.logins
    ]
    assert [tag for tag, _ in asked] == ["load of 'flights'", "transform", "whatever"]
    assert {zone for _, zone in asked} == {"Europe/Berlin"}


def test_what_the_hook_takes_reaches_the_login_and_counts_before_the_connection(warehouse, through_proxy):
    warehouse.put(CSV, b"7,EWR\n")
    proxy = through_proxy()

    warehouse.load(
        CSV,
        hook_params={"account": "elsewhere", "session_parameters": {"STATEMENT_TIMEOUT_IN_SECONDS": 600}},
        warehouse="small",
    )

    (login,) = proxy.logins
    assert login["ACCOUNT_NAME"] == "elsewhere"
    assert login["SESSION_PARAMETERS"]["STATEMENT_TIMEOUT_IN_SECONDS"] == 600


def test_what_the_hook_does_not_take_is_named_before_anything_is_asked(warehouse, through_proxy):
    proxy = through_proxy()

    for operator in (
        warehouse.operator(CSV, hook_params={"timeout": 5}),
        TransformOperator(task_id="transform", sql="SELECT 1", hook_params={"timeout": 5}),
    ):
        with pytest.raises(AirflowFailException, match=r"hook_params has \['timeout'\], which"):
            operator.execute({})

    assert proxy.logins == []


class TestTheQuery:
    def test_is_in_the_rows_the_log_and_a_link_to_snowsight(self, warehouse, dag_test, caplog):
        warehouse.put(CSV, b"7,EWR\n")
        caplog.set_level("INFO")
        with DAG("queries", schedule=None, start_date=pendulum.datetime(2024, 1, 1)) as dag:
            S3KeysToSnowflakeOperator.partial(
                task_id="load",
                table="flights",
                stage="landing",
                stage_prefix="landing/",
                file_format="(TYPE = CSV)",
            ).expand(keys=[CSV])

        instance = dag_test(dag)["load", 0]

        ((row,),) = [instance.xcom_pull("load", map_indexes=0)]
        url = f"{CONSOLE}/{row['query_id']}/detail"
        assert f"Snowflake ran COPY INTO as query {row['query_id']}: {url}" in caplog.text
        # Airflow 3 asks for links where a task runs, Airflow 2 where they are shown.
        link = (
            instance.xcom_pull("load", map_indexes=0, key=QueryLink().xcom_key)
            if AIRFLOW_3
            else QueryLink().get_link(None, ti_key=instance.key)
        )
        assert link == url

    def test_that_was_refused_is_in_the_log_too(self, warehouse, caplog):
        warehouse.put(CSV, b"seven,EWR\n")
        caplog.set_level("INFO")

        with pytest.raises(AirflowFailException, match="No file was loaded"):
            warehouse.load(CSV)

        assert re.search(rf"as query (\S{{36}}): {CONSOLE}/\1/detail", caplog.text)


class TestAKeyInPlaceOfAPassword:
    @pytest.fixture
    def signed(self, snowflake, warehouse, monkeypatch, tmp_path):
        """Return what makes the connection's key another, and tells Snowflake the user's."""
        from cryptography.hazmat.primitives import serialization
        from cryptography.hazmat.primitives.asymmetric import rsa

        def give(*, passphrase=None, told=True):
            key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
            public = (serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
            if told:
                snowflake.public_key.write_bytes(key.public_key().public_bytes(*public))
            lock = (
                serialization.BestAvailableEncryption(passphrase.encode())
                if passphrase
                else serialization.NoEncryption()
            )
            private = (serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, lock)
            file = tmp_path / "key.p8"
            file.write_bytes(key.private_bytes(*private))
            connection = json.loads(json.dumps(warehouse.connection))
            connection["password"] = passphrase or ""
            connection["extra"]["private_key_file"] = str(file)
            monkeypatch.setenv("AIRFLOW_CONN_SNOWFLAKE_DEFAULT", json.dumps(connection))

        yield give
        snowflake.public_key.unlink(missing_ok=True)

    @pytest.mark.parametrize("passphrase", [None, "open-sesame-vx4"])
    def test_signs_a_token_that_the_server_verifies(self, warehouse, signed, through_proxy, passphrase):
        warehouse.put(CSV, b"7,EWR\n")
        signed(passphrase=passphrase)
        proxy = through_proxy()

        assert warehouse.load(CSV)[0]["status"] == "loaded"

        (login,) = proxy.logins
        assert login["AUTHENTICATOR"] == "SNOWFLAKE_JWT"
        assert "PASSWORD" not in login

    def test_that_is_not_the_users_is_a_login_refused(self, warehouse, signed):
        signed()
        signed(told=False)

        with pytest.raises(AirflowFailException, match=r"(?s)JWT token is invalid.*password or private key"):
            warehouse.load(CSV)


def test_a_button_that_cannot_be_kept_takes_no_load_back(warehouse, caplog):
    class Instance:
        map_index, try_number, test_mode = 0, 1, True

        def xcom_push(self, **_):
            raise OSError("the database is away")

    warehouse.put(CSV, b"7,EWR\n")
    results = warehouse.operator(CSV).execute({"ti": Instance()})
    assert [row["status"] for row in results] == ["loaded"]
    assert warehouse.rows() == [(7, "EWR")]
    assert "The button to the query can't be kept: OSError: the database is away" in caplog.text
