"""SQLPartitionOperator on PostgreSQL: one partition, one transaction."""

from __future__ import annotations

import os
import signal
import time

import pytest

from airflow_mapping_kit.compat import AirflowException, AirflowFailException, AirflowSkipException
from airflow_mapping_kit.operators.sql import SQLPartitionOperator

EWR = {"origin": "EWR", "date": "2013-01-01"}
OLD = {"EWR 2013-01-01": (2, 1998), "JFK 2013-01-01": (1, 98)}


@pytest.fixture
def filled(warehouse):
    warehouse.sql(
        "INSERT INTO flights VALUES ('EWR', '2013-01-01', 999, 1), ('EWR', '2013-01-01', 999, 1), "
        "('JFK', '2013-01-01', 98, 1)"
    )
    assert warehouse.counts() == OLD
    return warehouse


def test_a_partition_is_replaced_by_the_rows_of_the_query(filled, load):
    assert load(EWR) == {
        "key": "date=2013-01-01/origin=EWR",
        "table": "flights",
        "rows": 10,
        "replaced_rows": 2,
    }
    assert filled.counts() == {"EWR 2013-01-01": (10, 55), "JFK 2013-01-01": (1, 98)}
    assert filled.sql("SELECT delay::float FROM flights WHERE number = 3") == [(0.75,)]
    assert load(EWR)["replaced_rows"] == 10
    assert filled.counts()["EWR 2013-01-01"] == (10, 55)


@pytest.mark.parametrize("cursor", ["dictcursor", "namedtuplecursor"])
def test_rows_may_be_of_any_kind_that_a_connection_asks_for(filled, load, cursor):
    filled.connect(cursor=cursor)
    assert load(EWR)["rows"] == 10


def test_null_and_the_text_null_are_partitions_of_their_own(warehouse, load):
    warehouse.sql("INSERT INTO flights VALUES (NULL, '2013-01-01', 1, 0), ('NULL', '2013-01-01', 2, 0)")
    sql = "SELECT number, delay FROM raw WHERE origin = 'EWR' AND date = %(date)s"
    assert load({"origin": None, "date": "2013-01-01"}, sql, unused=["origin"])["replaced_rows"] == 1
    assert warehouse.counts() == {"- 2013-01-01": (10, 55), "NULL 2013-01-01": (1, 2)}
    assert load({"origin": "NULL", "date": "2013-01-01"}, sql, unused=["origin"])["replaced_rows"] == 1
    assert warehouse.counts() == {"- 2013-01-01": (10, 55), "NULL 2013-01-01": (10, 55)}


def test_a_row_of_another_partition_takes_all_of_it_back_and_is_told(filled, load):
    sql = "SELECT * FROM raw WHERE (origin = %(origin)s OR number = 4) AND date = %(date)s"
    with pytest.raises(
        AirflowFailException, match=r"2 of the query's 12 rows belong to other .*, such as origin=\w+"
    ):
        load(EWR, sql)
    assert filled.counts() == OLD


def test_a_value_that_its_column_changes_is_told_with_the_cast_that_finds_it(warehouse, load):
    warehouse.sql("CREATE TABLE measured (width real, n int)")
    sql = "SELECT 1 AS n WHERE %(width)s > 0"
    with pytest.raises(
        AirflowFailException, match=r"width=0\.1 is another value .* types=\{'width': 'REAL'\}"
    ):
        load({"width": 0.1}, sql, "measured")
    assert warehouse.sql("TABLE measured") == []
    for before in (0, 1):
        assert load({"width": 0.1}, sql, "measured", types={"width": "REAL"})["replaced_rows"] == before


def test_no_rows_leave_the_partition_as_it_is_unless_that_is_right(filled, load):
    nothing = "SELECT number FROM raw WHERE origin = %(origin)s AND date = %(date)s AND number > 10"
    with pytest.raises(AirflowFailException, match=r"the query found no rows, so it is left as it is"):
        load(EWR, nothing)
    with pytest.raises(AirflowSkipException, match="has no rows: left as it is"):
        load(EWR, nothing, on_empty="skip")
    assert filled.counts() == OLD
    assert load(EWR, nothing, on_empty="replace")["replaced_rows"] == 2
    assert filled.counts() == {"JFK 2013-01-01": (1, 98)}


def test_of_a_batch_each_partition_is_one_transaction(filled, load):
    plan = [EWR, {"origin": "XXX", "date": "2013-01-01"}, {"origin": "JFK", "date": "2013-01-01"}]
    with pytest.raises(
        AirflowException, match=r"1 of 3 partitions failed: date=2013-01-01/origin=XXX\. Published: "
    ):
        load(plan)
    assert filled.counts() == {"EWR 2013-01-01": (10, 55), "JFK 2013-01-01": (10, 55)}
    assert [row["key"] for row in load(plan[::2])] == [
        "date=2013-01-01/origin=EWR",
        "date=2013-01-01/origin=JFK",
    ]
    assert [row["rows"] for row in load(plan, on_empty="skip")] == [10, 10]


def test_values_are_bound_and_names_are_quoted(warehouse, load):
    warehouse.sql('CREATE TABLE "My ""flights" ("The origin" text, "%" int)')
    nasty = "E'; DROP TABLE raw; --%s"
    warehouse.sql("INSERT INTO raw VALUES (%s, '2013-01-01', 5, 0)", [nasty])
    done = load(
        {"The origin": nasty},
        'SELECT number AS "%%" FROM raw WHERE origin = %(The origin)s AND number %% 5 = 0 AND number > %(least)s; -- ;',
        'public."My ""flights"',
        parameters={"least": 1},
    )
    assert done["rows"] == 1
    assert warehouse.sql('SELECT * FROM "My ""flights"') == [(nasty, 5)]


def test_a_number_finds_its_column_of_text_by_a_cast(warehouse, load):
    warehouse.sql("CREATE TABLE by_id (id text, n int)")
    warehouse.sql("INSERT INTO by_id VALUES ('7', 1), ('07', 2)")
    sql = "SELECT count(*)::int AS n FROM raw WHERE number = %(id)s"
    with pytest.raises(AirflowFailException, match=r"text = \w+(?s:.*)types=\{'name': 'TEXT'\}"):
        load({"id": 7}, sql, "by_id")
    assert load({"id": 7}, sql, "by_id", types={"id": "TEXT"})["replaced_rows"] == 1
    assert warehouse.sql("SELECT * FROM by_id ORDER BY n") == [("07", 2), ("7", 15)]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            {"table": "flihgts"},
            r'relation "flihgts" does not exist \(near: \'flights\'\): create it, or correct its name',
        ),
        ({"table": "flights; DROP TABLE raw"}, "is no name of a table"),
        ({"table": "a.b.c.d"}, "is no name of a table"),
        ({"table": ""}, "is no name of a table"),
        ({"conn_id": "web"}, "the connection 'web' is of type 'http'"),
        ({"sql": "SELECT 1 AS number"}, "the query doesn't use the dimension 'date'"),
        (
            {"sql": "SELECT %(year)s AS number"},
            r"the query asks for %\(year\)s, which is none of its dimensions",
        ),
        (
            {"sql": "SELECT number FROM raw WHERE origin LIKE 'E%'"},
            r"write a parameter %\(name\)s, and a percent sign",
        ),
        ({"sql": "SELECT 1; DROP TABLE raw"}, "has to be exactly one SELECT"),
        ({"sql": " -- nothing\n;"}, "has to be exactly one SELECT"),
        (
            {"sql": f"DELETE FROM raw WHERE {'origin = %(origin)s AND date = %(date)s'}"},
            "the query: syntax error",
        ),
        (
            {"sql": "SELECT nubmer FROM raw WHERE origin = %(origin)s AND date = %(date)s"},
            'column "nubmer" does not',
        ),
        (
            {"sql": "SELECT 1 AS nubmer WHERE %(origin)s = 'EWR' AND %(date)s <> ''"},
            r"'nubmer'.*\(near: 'number'\)",
        ),
        (
            {"sql": "SELECT 'x'::text AS number WHERE %(origin)s = 'EWR' AND %(date)s <> ''"},
            r"(?s:.*)Write CAST\(number AS integer\) AS number",
        ),
        (
            {"sql": "SELECT origin, date FROM raw WHERE origin = %(origin)s AND date = %(date)s"},
            "only dimensions",
        ),
        (
            {"partition": {"orign": "EWR"}, "sql": "SELECT 1 AS number, %(orign)s"},
            r"no column 'orign'.*near: 'origin'",
        ),
        (
            {"partition": {"date": "2013-02-30"}, "sql": "SELECT 1 AS number WHERE %(date)s <> ''"},
            "2013-02-30",
        ),
        ({"partition": "EWR"}, "partition is 'EWR': pass a dict"),
        ({"parameters": {"origin": 1}}, "'origin' is a dimension and among the parameters"),
    ],
)
def test_what_does_not_fit_is_refused_at_once_and_changes_nothing(
    filled, load, monkeypatch, arguments, message
):
    monkeypatch.setenv("AIRFLOW_CONN_WEB", "http://localhost")
    with pytest.raises(AirflowFailException, match=message):
        load(**{"partition": EWR, **arguments})
    assert filled.counts() == OLD
    assert filled.sql("SELECT count(*) FROM raw") == [(150,)]


@pytest.mark.parametrize(
    ("value", "column", "taken"),
    [
        ("1.5::numeric", "int", False),
        ("1.5::float8", "bigint", False),
        ("1.5::float8", "real", False),
        ("now()", "date", False),
        ("now()", "timestamp", False),
        ("now()::timestamp", "timestamptz", False),
        ("1::smallint", "bigint", True),
        ("1::bigint", "int", True),
        ("1::int", "numeric", True),
        ("1::numeric", "float8", True),
        ("date '2013-01-01'", "timestamp", True),
        ("'a'::varchar", "text", True),
        ("1", "text", True),
        ("ARRAY[1]", "int[]", True),
        ("NULL::int", "numeric(3, 1)", True),
        ("jsonb '{}'", "jsonb", True),
    ],
)
def test_a_column_takes_no_value_that_it_would_change(warehouse, load, value, column, taken):
    warehouse.sql(f"CREATE TABLE narrow (origin text, value {column})")
    sql = f"SELECT {value} AS value WHERE %(origin)s = 'EWR'"
    if taken:
        assert load({"origin": "EWR"}, sql, "narrow")["rows"] == 1
        return
    with pytest.raises(AirflowFailException, match=r"which would change values: write CAST\(value AS "):
        load({"origin": "EWR"}, sql, "narrow")


def test_a_login_that_is_refused_is_no_reason_to_try_again(warehouse, load):
    warehouse.connection["login"] = "nobody_there"
    warehouse.connect()
    with pytest.raises(
        AirflowFailException, match="refuses the connection 'warehouse'.*role \"nobody_there\""
    ):
        load(EWR)
    warehouse.connection["host"] = "/tmp/no_server_here"
    warehouse.connect()
    with pytest.raises(AirflowException, match="can't connect to the database of the connection") as raised:
        load(EWR)
    assert not isinstance(raised.value, AirflowFailException)


def test_two_writers_of_an_empty_partition_come_one_after_the_other(warehouse, load, at_once):
    slow = "SELECT number, delay FROM raw, pg_sleep(0.3) WHERE origin = %(origin)s AND date = %(date)s"
    for isolation in ("read committed", "repeatable read", "serializable"):
        warehouse.sql("TRUNCATE flights")
        # By another name of the same table, too.
        warehouse.connect(options=f"-c default_transaction_isolation={isolation.replace(' ', chr(92) + ' ')}")
        both = at_once(lambda: load(EWR, slow), lambda: load(EWR, slow, "public.Flights"))
        assert sorted(done["replaced_rows"] for done in both) == [0, 10], isolation
        assert warehouse.counts() == {"EWR 2013-01-01": (10, 55)}


def test_what_somebody_else_writes_meanwhile_is_noticed_and_taken_back(filled, load, at_once):
    slow = "SELECT number, delay FROM raw, pg_sleep(0.6) WHERE origin = %(origin)s AND date = %(date)s"

    def stranger():
        time.sleep(0.3)
        filled.sql("INSERT INTO flights VALUES ('EWR', '2013-01-01', 7, 0)")

    refused, _ = at_once(lambda: load(EWR, slow), stranger)
    assert isinstance(refused, AirflowFailException)
    assert "somebody else wrote 1 rows into it at the same time" in str(refused)
    assert filled.counts() == {**OLD, "EWR 2013-01-01": (3, 2005)}


@pytest.mark.parametrize("isolation", ["read committed", "serializable"])
def test_sixteen_at_once_replace_their_partitions_without_a_deadlock(warehouse, load, at_once, isolation):
    warehouse.connect(options=f"-c default_transaction_isolation={isolation.replace(' ', chr(92) + ' ')}")
    plan = [
        {"origin": origin, "date": f"2013-01-0{day}"}
        for origin in ("EWR", "JFK", "LGA")
        for day in range(1, 6)
    ]
    warehouse.sql("INSERT INTO raw SELECT 'EWR', '2013-01-06', n, 0 FROM generate_series(1, 10) n")
    plan.append({"origin": "EWR", "date": "2013-01-06"})
    for _ in range(2):
        done = at_once(*(lambda partition=partition: load(partition) for partition in plan))
        assert [getattr(one, "get", str)("rows") for one in done] == [10] * 16
    assert warehouse.counts() == {f"{piece['origin']} {piece['date']}": (10, 55) for piece in plan}


def test_killed_at_any_step_it_leaves_the_old_rows_or_the_new_ones(filled, load, killed_at):
    new = {**OLD, "EWR 2013-01-01": (10, 55)}
    seen, step = [], 0
    while killed_at(step := step + 1, lambda: load(EWR)):
        seen.append(filled.counts())
    after_commit = len(seen) - seen.index(new)
    assert seen == [OLD] * (len(seen) - after_commit) + [new] * after_commit
    assert len(seen) - after_commit > 6
    assert load(EWR)["rows"] == 10
    assert filled.counts() == new


def test_the_query_of_a_worker_that_was_killed_does_not_hold_up_the_next_try(warehouse, load):
    asleep = "SELECT number FROM raw, pg_sleep(300) WHERE origin = %(origin)s AND date = %(date)s"
    child = os.fork()
    if child == 0:
        try:
            load(EWR, asleep)
        finally:
            os._exit(1)
    busy = "SELECT count(*) FROM pg_stat_activity WHERE query LIKE 'INSERT INTO %pg_sleep%' AND wait_event = 'PgSleep'"
    deadline = time.monotonic() + 60
    while warehouse.sql(busy) == [(0,)]:
        assert time.monotonic() < deadline
        time.sleep(0.05)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    assert load(EWR)["rows"] == 10
    assert warehouse.counts() == {"EWR 2013-01-01": (10, 55)}


def test_a_task_that_is_told_to_end_commits_nothing(filled, load):
    def told(operator):
        operator.on_kill()

    with pytest.raises(AirflowException, match="told to end"):
        load(EWR, before=told)
    assert filled.counts() == OLD


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"on_empty": "ignore"}, "on_empty='ignore' is none of 'fail', 'skip', 'replace'"),
        ({"unused": "date"}, r"unused='date' is text: write the list \['date'\]"),
        ({"types": {"date": "DATE); DROP TABLE raw; --"}}, "types: 'date': .* is no type"),
        ({"conn_id": None}, "is in a database that isn't named: write conn_id="),
    ],
)
def test_an_argument_that_cannot_be_is_refused_when_the_dag_is_parsed(arguments, message):
    given = {"sql": "SELECT 1", "partition": EWR, "table": "flights", "conn_id": "warehouse", **arguments}
    with pytest.raises(ValueError, match=message):
        SQLPartitionOperator(task_id="load", **given)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"on_empty": "ignore"}, "on_empty='ignore' is none of 'fail', 'skip', 'replace'"),
        ({"timezone": "Europe/Berlinn"}, "'Europe/Berlinn' is no time zone"),
        ({"types": {"date": "DATE); DROP TABLE raw; --"}}, "types: 'date': .* is no type"),
    ],
)
def test_an_argument_that_cannot_be_is_refused_when_a_mapped_task_is_parsed(arguments, message):
    given = {"sql": "SELECT 1", "table": "flights", "conn_id": "warehouse", **arguments}
    with pytest.raises(ValueError, match=message):
        SQLPartitionOperator.partial(task_id="load", **given)


def test_openlineage_is_told_which_tables_were_read_and_which_partition_written(filled, load):
    loads = []
    load(EWR, before=loads.append)
    told = loads[0].get_openlineage_facets_on_complete(None)
    host, name = filled.connection["host"], filled.connection["schema"]
    (table,) = told.outputs
    assert (table.namespace.startswith("postgres://"), table.name) == (True, f"{name}.public.flights"), host
    assert [(one.namespace, one.name) for one in told.inputs] == [(table.namespace, f"{name}.public.raw")]
    assert table.outputFacets["outputStatistics"].rowCount == 10
    assert table.outputFacets["subset"].outputCondition["partitions"] == [
        {"identifier": "date=2013-01-01/origin=EWR", "dimensions": EWR}
    ]


@pytest.mark.parametrize(("zone", "number"), [("America/New_York", 25), ("UTC", 24)])
def test_start_and_end_are_moments_of_the_period_in_its_zone(warehouse, load, zone, number):
    sql = (
        "SELECT %(origin)s AS origin, count(*)::integer AS number FROM generate_series("
        "'2024-11-02 00:00+00'::timestamptz, '2024-11-06 00:00+00', '1 hour') hours(at) "
        "WHERE at >= %(start)s AND at < %(end)s"
    )
    load({"origin": "EWR", "date": "2024-11-03"}, sql, timezone=zone)
    assert warehouse.sql("SELECT number FROM flights WHERE date = '2024-11-03'") == [(number,)]
