"""What is in the table after a load, over Snowflake's protocol, through the provider's hook."""

from __future__ import annotations

import json
import multiprocessing

import pendulum
import pytest

from airflow_mapping_kit.operators.snowflake import S3KeysToSnowflakeOperator
from airflows import DAG, AirflowFailException, task

EWR = "landing/20130101/EWR.csv"
JFK = "landing/20130101/JFK.csv"


def loaded(key, rows):
    return {"key": key, "status": "loaded", "rows_parsed": rows, "rows_loaded": rows}


def already_loaded(key):
    return {"key": key, "status": "already_loaded", "rows_parsed": 0, "rows_loaded": 0}


def test_a_file_is_loaded_once_and_reported_as_loaded_before_from_then_on(warehouse):
    warehouse.put(EWR, b"1,EWR\n2,EWR\n")

    assert warehouse.load(EWR) == [loaded(EWR, 2)]
    assert warehouse.load(EWR) == [already_loaded(EWR)]
    assert warehouse.load([EWR]) == [already_loaded(EWR)]
    assert warehouse.rows() == [(1, "EWR"), (2, "EWR")]


def test_a_batch_keeps_the_order_of_its_keys_and_says_which_were_there(warehouse):
    warehouse.put(EWR, b"1,EWR\n")
    warehouse.put(JFK, b"2,JFK\n3,JFK\n")
    warehouse.load(EWR)

    result = warehouse.load([JFK, EWR])

    assert result == [loaded(JFK, 2), already_loaded(EWR)]
    assert json.loads(json.dumps(result)) == result
    assert warehouse.rows() == [(1, "EWR"), (2, "JFK"), (3, "JFK")]


def test_the_same_name_in_two_folders_is_two_files(warehouse):
    keys = [
        warehouse.put(f"landing/{folder}EWR.csv", f"{i},EWR\n") for i, folder in enumerate(["", "x/", "y/x/"])
    ]

    assert warehouse.load(keys) == [loaded(key, 1) for key in keys]
    assert warehouse.load(list(reversed(keys))) == [already_loaded(key) for key in reversed(keys)]
    assert len(warehouse.rows()) == 3


def test_only_the_given_keys_are_loaded_not_what_begins_like_them(warehouse):
    warehouse.put("landing/day1/EWR.csv", b"1,EWR\n")
    warehouse.put("landing/day10/EWR.csv", b"10,EWR\n")
    warehouse.put("landing/day1/EWR.csv.late", b"100,EWR\n")

    warehouse.load("landing/day1/EWR.csv")

    assert warehouse.rows() == [(1, "EWR")]


def test_a_stage_on_the_whole_bucket_needs_no_prefix(warehouse):
    warehouse.sql(f"CREATE STAGE WHOLE URL = 's3://{warehouse.bucket}/'")
    warehouse.put(EWR, b"1,EWR\n")

    assert warehouse.load(EWR, stage="whole", stage_prefix="") == [loaded(EWR, 1)]
    assert warehouse.rows() == [(1, "EWR")]


def test_more_files_than_a_statement_takes_are_loaded_in_one_transaction(
    warehouse, through_proxy, monkeypatch
):
    monkeypatch.setattr("airflow_mapping_kit.operators.snowflake.operator.MAX_FILES", 2)
    keys = [warehouse.put(f"landing/{number}.csv", f"{number},EWR\n") for number in range(5)]
    proxy = through_proxy()

    assert warehouse.load(keys) == [loaded(key, 1) for key in keys]

    words = [sql.split()[0] for sql in proxy.statements if not sql.startswith("SELECT")]
    assert words == ["BEGIN", "COPY", "COPY", "COPY", "COMMIT"]
    assert len(warehouse.rows()) == 5


def test_an_error_in_the_last_statement_leaves_none_of_the_files_in_the_table(warehouse, monkeypatch):
    monkeypatch.setattr("airflow_mapping_kit.operators.snowflake.operator.MAX_FILES", 2)
    keys = [warehouse.put(f"landing/{number}.csv", f"{number},EWR\n") for number in range(4)]
    broken = warehouse.put("landing/4.csv", b"four,EWR\n")

    with pytest.raises(AirflowFailException, match=r"landing/4\.csv"):
        warehouse.load([*keys, broken])

    assert warehouse.rows() == []
    warehouse.put("landing/4.csv", b"4,EWR\n")
    assert warehouse.load([*keys, broken]) == [loaded(key, 1) for key in [*keys, broken]]
    assert [number for number, _ in warehouse.rows()] == [0, 1, 2, 3, 4]


@pytest.mark.parametrize(
    "name",
    [
        "two words.csv",
        "o'clock.csv",
        'say "hi".csv',
        "100%.csv",
        "100%25.csv",
        "%s%(x)s.csv",
        "a+b.csv",
        "naïve-日本.csv",
        "back\\slash\\n.csv",
        "{{ x }}.csv",
        "a,b;c--d.csv",
        "'); DROP TABLE FLIGHTS; --.csv",
        "/leading.csv",
        "a#b&c=d@e$f.csv",
        "[x]*.csv",
        "n" * 1012 + ".csv",
    ],
)
def test_a_file_of_any_name_is_loaded_once(warehouse, name):
    key = warehouse.put(f"landing/{name}", b"1,EWR\n")

    assert warehouse.load(key) == [loaded(key, 1)]
    assert warehouse.load([key]) == [already_loaded(key)]
    assert warehouse.rows() == [(1, "EWR")]


def test_names_in_double_quotes_keep_their_case_and_others_are_upper_case(warehouse):
    warehouse.sql('CREATE SCHEMA "Raw"')
    warehouse.sql('CREATE TABLE "Raw"."My Flights" (NUMBER INT, ORIGIN VARCHAR)')
    warehouse.sql("CREATE FILE FORMAT PUBLIC.PIPES TYPE = CSV FIELD_DELIMITER = '|'")
    warehouse.put(EWR, b"1|EWR\n")

    arguments = {"table": '"Raw"."My Flights"', "stage": f"{warehouse.database.lower()}.public.Landing"}
    assert warehouse.load(EWR, file_format="public.pipes", **arguments) == [loaded(EWR, 1)]
    assert warehouse.load(EWR, file_format="public.pipes", **arguments) == [already_loaded(EWR)]
    assert warehouse.rows('"Raw"."My Flights"') == [(1, "EWR")]


def test_a_name_of_several_lines_forges_no_line_of_the_log(warehouse, metadata_db, caplog):
    forged = "landing/a\r2026-11-25 {audit.py:7} INFO - nothing to delete\x1b[2K.csv"
    warehouse.put(forged, b"1,EWR\n")
    caplog.set_level("INFO")

    warehouse.load(forged)
    warehouse.put(forged, b"one,EWR\n")
    with pytest.raises(AirflowFailException) as failure:
        warehouse.load(forged, on_changed_file="load")

    messages = [record.getMessage() for record in caplog.records if "audit.py" in record.getMessage()]
    assert messages == [
        "landing/a\\r2026-11-25 {audit.py:7} INFO - nothing to delete\\x1b[2K.csv: loaded, 1 rows"
    ]
    assert "audit.py" in str(failure.value)
    assert not {"\r", "\x1b"} & set(str(failure.value))


def test_options_of_a_stage_that_would_cut_or_skip_are_overridden(warehouse, through_proxy):
    warehouse.put(EWR, b"1,EWR\n")
    proxy = through_proxy()

    warehouse.load(EWR, bucket=warehouse.bucket)

    (statement,) = (sql for sql in proxy.statements if sql.startswith("COPY INTO"))
    assert statement.endswith(
        "ON_ERROR = ABORT_STATEMENT FORCE = FALSE PURGE = FALSE LOAD_UNCERTAIN_FILES = FALSE "
        "TRUNCATECOLUMNS = FALSE ENFORCE_LENGTH = TRUE RETURN_FAILED_ONLY = FALSE"
    )


def test_the_schema_of_the_operator_is_that_of_names_without_one(warehouse):
    warehouse.sql("CREATE SCHEMA OTHER")
    warehouse.sql("CREATE TABLE OTHER.FLIGHTS (NUMBER INT, ORIGIN VARCHAR)")
    warehouse.put(EWR, b"1,EWR\n")

    warehouse.load(EWR, schema="other", stage="public.landing")

    assert warehouse.rows("OTHER.FLIGHTS") == [(1, "EWR")]
    assert warehouse.rows() == []


def test_eight_instances_load_eight_files_into_one_table_at_once(warehouse):
    keys = [warehouse.put(f"landing/{number}.csv", f"{number},EWR\n" * 100) for number in range(8)]

    forked = multiprocessing.get_context("fork")
    results = forked.Queue()
    running = [forked.Process(target=lambda key=key: results.put(warehouse.load(key))) for key in keys]
    for process in running:
        process.start()
    outcomes = [results.get(timeout=60) for _ in running]
    for process in running:
        process.join()

    assert sorted(outcomes, key=str) == [[loaded(key, 100)] for key in keys]
    assert warehouse.rows() == [(number, "EWR") for number in range(8) for _ in range(100)]


def test_a_file_changed_since_it_was_loaded_is_an_error_until_told_to_load_it_too(warehouse):
    warehouse.put(EWR, b"1,EWR\n")
    warehouse.load(EWR)
    warehouse.put(EWR, b"1,EWR\n2,EWR\n")
    warehouse.put(JFK, b"3,JFK\n")

    for _ in range(2):
        with pytest.raises(AirflowFailException, match=r"20130101/EWR\.csv.*changed") as raised:
            warehouse.load([JFK, EWR])
        assert "JFK" not in str(raised.value)
        assert warehouse.rows() == [(1, "EWR")]

    assert warehouse.load([JFK, EWR], on_changed_file="load") == [loaded(JFK, 1), loaded(EWR, 2)]
    assert warehouse.rows() == [(1, "EWR"), (1, "EWR"), (2, "EWR"), (3, "JFK")]
    assert warehouse.load(EWR) == [already_loaded(EWR)]


def test_keys_of_an_xcom_are_mapped_over_and_never_rendered(warehouse, dag_test):
    keys = [warehouse.put(f"landing/{{{{ {name} }}}}.csv", f"1,{name}\n") for name in ("ds", "1/0")]

    with DAG("strange_keys", schedule=None, start_date=pendulum.datetime(2024, 1, 1)) as dag:

        @task
        def one():
            return keys[:1]

        @task
        def batches():
            return [keys[1:]]

        arguments = {
            "table": "{{ 'flights' }}",
            "stage": "landing",
            "stage_prefix": "landing/",
            "file_format": "(TYPE = CSV)",
        }
        S3KeysToSnowflakeOperator.partial(task_id="load_one", **arguments).expand(keys=one())
        S3KeysToSnowflakeOperator.partial(task_id="load_batch", **arguments).expand(keys=batches())

    instances = dag_test(dag)

    for task_id, key in zip(["load_one", "load_batch"], keys, strict=True):
        (row,) = instances[task_id, 0].xcom_pull(task_id, map_indexes=0)
        assert row == {**loaded(key, 1), "query_id": row["query_id"]}
    assert warehouse.rows() == [(1, "1/0"), (1, "ds")]


def test_openlineage_is_told_the_folders_and_the_table_by_its_whole_name(warehouse):
    warehouse.put(EWR, b"1,EWR\n2,EWR\n")
    warehouse.put(JFK, b"3,JFK\n")
    operator = warehouse.operator([EWR, JFK], bucket=warehouse.bucket)
    rows = operator.execute({})
    told = operator.get_openlineage_facets_on_complete(None)
    assert [(one.namespace, one.name) for one in told.inputs] == [
        (f"s3://{warehouse.bucket}", "landing/20130101")
    ]
    (table,) = told.outputs
    assert table.namespace.startswith("snowflake://")
    assert table.name.upper() == f"{warehouse.database}.PUBLIC.FLIGHTS".upper()
    assert table.outputFacets["outputStatistics"].rowCount == 3
    query = told.run_facets["externalQuery"]
    assert (query.externalQueryId, query.source) == (rows[-1]["query_id"], table.namespace)
