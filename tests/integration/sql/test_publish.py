"""publish for a table of PostgreSQL: instances stage, one transaction replaces all their partitions."""

from __future__ import annotations

import contextlib
import itertools
import threading
from functools import partial

import psycopg2
import pytest

from airflow_mapping_kit.exceptions import TargetError
from airflow_mapping_kit.tables.described import Home
from airflow_mapping_kit.tables.formats import look, publish
from airflow_mapping_kit.tables.staged import run_of

RUN = run_of("none", "run", "load")
PLAN = [{"origin": origin, "date": f"2013-01-0{day}"} for origin in ("EWR", "JFK") for day in (1, 2, 3)]
OLD = {"EWR 2013-01-01": (3, 3000), "LGA 2013-01-01": (1, 7)}
NEW = {**{f"{piece['origin']} {piece['date']}": (10, 55) for piece in PLAN}, "LGA 2013-01-01": (1, 7)}


@pytest.fixture
def filled(warehouse):
    warehouse.sql("INSERT INTO flights SELECT 'EWR', '2013-01-01', 1000, 0 FROM generate_series(1, 3)")
    warehouse.sql("INSERT INTO flights VALUES ('LGA', '2013-01-01', 7, 0)")
    assert warehouse.counts() == OLD
    return warehouse


@pytest.fixture
def table(warehouse):
    return look("sql", {"name": "flights", "conn_id": "warehouse"}, {})


@pytest.fixture
def stage(load, table):
    return lambda partition, **arguments: load(partition, table=table, conn_id=None, **arguments)


def own_tables(warehouse):
    names = "SELECT relname FROM pg_class WHERE relname LIKE 'mapping_kit_%' AND relkind = 'r'"
    return {name for (name,) in warehouse.sql(names)}


def test_all_partitions_are_replaced_at_once_and_others_stay(filled, stage, table):
    pieces = [stage(partition) for partition in PLAN]
    assert filled.counts() == OLD
    done = publish(table, pieces, RUN)
    assert filled.counts() == NEW
    assert (done["rows"], done["replaced_rows"], done["left_over"]) == (60, 3, 0)
    assert own_tables(filled) == {"mapping_kit_published"}


def test_publishing_again_changes_nothing_and_what_comes_later_is_added(filled, stage, table):
    pieces = [stage(partition) for partition in PLAN[:4]]
    first = publish(table, pieces, RUN)
    filled.sql("INSERT INTO flights VALUES ('EWR', '2013-01-01', 8, 0)")
    theirs = filled.counts()
    again = publish(table, pieces, RUN)
    assert (again["snapshot"], again["rows"], again["replaced_rows"]) == (first["snapshot"], 40, 0)
    assert filled.counts() == theirs
    # Those that had failed are cleared, and with them the task that publishes.
    publish(table, [*pieces, *map(stage, PLAN[4:])], RUN)
    assert filled.counts() == {**NEW, "EWR 2013-01-01": (11, 63)}
    # An instance that is cleared stages anew, and replaces.
    publish(table, [stage(PLAN[0]), *pieces[1:]], RUN)
    assert filled.counts() == NEW
    assert own_tables(filled) == {"mapping_kit_published"}


def test_null_and_the_text_null_are_partitions_of_their_own_here_too(filled, stage, table):
    filled.sql(
        "INSERT INTO flights VALUES (NULL, '2013-01-01', 1, 0), ('NULL', '2013-01-01', 2, 0), (NULL, NULL, 3, 0)"
    )
    sql = "SELECT number FROM raw WHERE origin = 'EWR' AND date = '2013-01-01' AND number < 3"
    plan = [
        {"origin": None, "date": "2013-01-01"},
        {"origin": "EWR", "date": None},
        {"origin": "JFK", "date": "2013-01-02"},
    ]
    done = publish(table, [stage(one, sql=sql, unused=["origin", "date"]) for one in plan], RUN)
    assert done["replaced_rows"] == 1
    assert filled.counts() == {
        **OLD,
        "NULL 2013-01-01": (1, 2),
        "- -": (1, 3),
        "- 2013-01-01": (2, 3),
        "EWR -": (2, 3),
        "JFK 2013-01-02": (2, 3),
    }


def test_a_partition_without_rows_is_emptied_and_a_killed_try_counts_for_nothing(filled, stage, table):
    stage(PLAN[1])
    nothing = "SELECT number FROM raw WHERE origin = %(origin)s AND date = %(date)s AND number > 10"
    done = publish(table, [stage(PLAN[0], sql=nothing, on_empty="replace"), stage(PLAN[1])], RUN)
    assert filled.counts() == {"EWR 2013-01-02": (10, 55), "LGA 2013-01-01": (1, 7)}
    assert (done["rows"], done["replaced_rows"], done["left_over"]) == (10, 3, 1)


def test_a_row_of_another_partition_is_refused_before_anything_is_published(filled, stage):
    with pytest.raises(
        Exception, match=r"10 of the query's 20 rows belong to other partitions, such as origin="
    ):
        stage(PLAN[0], sql="SELECT * FROM raw WHERE origin IN ('JFK', %(origin)s) AND date = %(date)s")
    assert filled.sql("SELECT count(*) FROM (TABLE flights) f") == [(4,)]


def test_a_dimension_may_live_in_a_column_of_another_name(warehouse, load):
    warehouse.sql(
        'CREATE TABLE "Late" ("Airport" text, departed date, number int DEFAULT 9, id serial NOT NULL)'
    )
    homes = {"origin": Home("airport", None), "date": Home("departed", None)}
    table = look("sql", {"name": '"Late"', "conn_id": "warehouse"}, homes)
    table["dimensions"] = {name: home._asdict() for name, home in homes.items()}
    sql = "SELECT number FROM raw WHERE origin = %(origin)s AND date = %(date)s"
    publish(table, [load(PLAN[0], sql, table)], RUN)
    assert warehouse.sql(
        'SELECT "Airport", departed::text, sum(number), max(id) FROM "Late" GROUP BY 1, 2'
    ) == [("EWR", "2013-01-01", 55, 10)]


def test_killed_at_any_step_it_leaves_all_old_or_all_new_and_the_next_try_cleans_up(
    filled, table, stage, killed_at
):
    plan = PLAN[:2]
    new = {**OLD, "EWR 2013-01-01": (10, 55), "EWR 2013-01-02": (10, 55)}
    steps = itertools.count(1)
    pieces = [stage(partition) for partition in plan]
    before = 0
    while killed_at(next(steps), lambda: publish(table, pieces, RUN)):
        if filled.counts() == OLD:
            before += 1
        else:
            break
    assert before > 15
    # Steps after the COMMIT, each once more from the beginning.
    after = 0
    while True:
        assert filled.counts() == new
        assert publish(table, pieces, RUN)["rows"] == 20
        assert filled.counts() == new
        assert own_tables(filled) == {"mapping_kit_published"}
        pieces = [stage(partition) for partition in plan]
        filled.sql("DELETE FROM flights WHERE number = 1")
        if not killed_at(next(steps), partial(publish, table, pieces, RUN)):
            break
        after += 1
    assert after > 4
    assert filled.counts() == new


def test_an_instance_that_is_killed_while_it_stages_leaves_nothing_that_counts(
    filled, stage, table, killed_at
):
    step = 0
    while killed_at(step := step + 1, lambda: stage(PLAN[0])):
        assert filled.counts() == OLD
    assert step > 10
    publish(table, [stage(PLAN[0])], RUN)
    assert filled.counts() == {**OLD, "EWR 2013-01-01": (10, 55)}


def test_two_publish_at_once_beside_foreign_writers_and_readers_see_no_mixture(filled, stage, table, at_once):
    ours, theirs = PLAN[:4], [*PLAN[4:], {"origin": "LGA", "date": "2013-01-01"}]
    staged = (
        [stage(partition) for partition in ours],
        [stage(partition, run_id="other") for partition in theirs],
    )
    seen, ended = set(), threading.Event()

    def read():
        with contextlib.closing(psycopg2.connect(**filled.dsn)) as session, session.cursor() as cursor:
            session.autocommit = True
            while not ended.is_set():
                cursor.execute(
                    "SELECT origin, date::text FROM flights WHERE number < 11 AND delay > 0 GROUP BY 1, 2"
                )
                seen.add(frozenset(cursor.fetchall()))

    def append():
        with contextlib.closing(psycopg2.connect(**filled.dsn)) as session, session.cursor() as cursor:
            session.autocommit = True
            for _ in range(100):
                cursor.execute("INSERT INTO flights VALUES ('LGA', '2013-01-05', 1, 0)")

    reader = threading.Thread(target=read)
    reader.start()
    done = at_once(
        lambda: publish(table, staged[0], RUN),
        lambda: publish(table, staged[1], run_of("none", "other", "load")),
        append,
    )
    ended.set()
    reader.join()
    assert [one["rows"] for one in done[:2]] == [40, 30]
    first, second = ({(one["origin"], one["date"]) for one in plan} for plan in (ours, theirs))
    assert seen <= set(map(frozenset, ([], first, second, first | second)))
    assert frozenset(first | second) in seen
    assert filled.counts() == {**NEW, "LGA 2013-01-01": (10, 55), "LGA 2013-01-05": (100, 100)}


def test_tries_of_one_run_that_publish_at_once_do_so_once(warehouse, stage, table, at_once):
    expected = {key: count for key, count in NEW.items() if not key.startswith("LGA")}
    for _ in range(8):
        warehouse.sql("DELETE FROM flights")
        pieces = [stage(partition) for partition in PLAN]
        done = at_once(*[lambda pieces=pieces: publish(table, pieces, RUN)] * 3)
        assert [getattr(one, "get", str)("rows") for one in done] == [60] * 3
        assert warehouse.counts() == expected
    assert own_tables(warehouse) == {"mapping_kit_published"}


def test_two_pieces_that_are_one_partition_by_the_types_of_the_table_are_refused(warehouse, load):
    warehouse.sql("CREATE TABLE priced (price numeric(5, 2), sold timestamptz, number int)")
    priced = look("sql", {"name": "priced", "conn_id": "warehouse"}, {})
    sql = "SELECT number FROM raw WHERE origin = 'EWR' AND date = '2013-01-01'"
    plan = [
        {"price": "1.5", "sold": "2013-01-01T05:00+02"},
        {"price": "1.50", "sold": "2013-01-01T03:00+00"},
        {"price": "1.5", "sold": None},
    ]
    pieces = [load(one, sql, priced, conn_id=None, unused=["price", "sold"]) for one in plan]
    with pytest.raises(
        TargetError, match=r"price=1\.5/.* and price=1\.50/.* are the same one of the table \"priced"
    ):
        publish(priced, pieces, RUN)
    assert warehouse.sql("SELECT count(*) FROM priced") == [(0,)]
    publish(priced, pieces[1:], RUN)
    assert warehouse.sql("SELECT sold IS NULL, count(*) FROM priced GROUP BY 1 ORDER BY 1") == [
        (False, 10),
        (True, 10),
    ]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            "DROP TABLE {staging}",
            r"what was staged of date=2013-01-01/origin=EWR, .* and 1 more isn't in .*clear these",
        ),
        (
            "DELETE FROM {staging} WHERE number = 1 AND origin = 'JFK'",
            "what was staged of date=2013-01-01/origin=JFK, ",
        ),
        (
            "ALTER TABLE flights RENAME COLUMN delay TO late",
            'column "delay" of relation "flights" does not exist',
        ),
        (
            "ALTER TABLE flights RENAME COLUMN origin TO airport",
            "has no column 'origin' for the dimension 'origin'",
        ),
        (
            "ALTER TABLE flights ADD CHECK (number < 10) NOT VALID",
            'violates check constraint "flights_number_check"',
        ),
        (
            "ALTER TABLE flights RENAME TO fligths",
            r"relation \"flights\" does not exist(?s:.*)near: 'fligths'",
        ),
    ],
)
def test_what_changed_since_it_was_staged_is_refused_by_name_and_nothing_is_published(
    filled, stage, table, change, message
):
    pieces = [stage(partition) for partition in PLAN]
    (staging,) = own_tables(filled) - {"mapping_kit_published"}
    filled.sql(change.format(staging=staging))
    with pytest.raises(ValueError, match=message):
        publish(table, pieces, RUN)
    name = "fligths" if "fligths" in change else "flights"
    assert filled.sql(f"SELECT count(*), sum(number) FROM {name}") == [(4, 3007)]


def test_a_column_that_the_table_got_meanwhile_does_no_harm_unless_the_query_returns_it(filled, stage, table):
    pieces = [stage(partition) for partition in PLAN[:3]]
    filled.sql("ALTER TABLE flights ADD late bool")
    new = "SELECT number, delay, delay > 1 AS late FROM raw WHERE origin = %(origin)s AND date = %(date)s"
    with pytest.raises(
        Exception, match=r"has the column 'late' by now, .* DROP TABLE \"mapping_kit_\w+\", and clear all"
    ):
        stage(PLAN[3], sql=new)
    publish(table, [*pieces, *map(stage, PLAN[3:])], RUN)
    assert filled.counts() == NEW


@pytest.mark.parametrize(
    ("arguments", "homes", "message"),
    [
        ({"name": "flight"}, {}, r"the table flight: (?s:.*)near: 'flights'"),
        ({"name": "flights", "conn_id": "web"}, {}, "of type 'http'"),
        (
            {"name": "flights"},
            {"date": Home("date", "day")},
            r"lives in day\(date\), and in a database it has to be a column",
        ),
    ],
)
def test_a_table_that_cannot_be_staged_for_is_refused_before_instances_start(
    warehouse, monkeypatch, arguments, homes, message
):
    monkeypatch.setenv("AIRFLOW_CONN_WEB", "http://localhost")
    with pytest.raises(ValueError, match=message):
        look("sql", {"conn_id": "warehouse", **arguments}, homes)


def test_who_may_make_no_tables_is_told_before_instances_start(warehouse):
    warehouse.sql("CREATE ROLE reader LOGIN")
    warehouse.sql("GRANT SELECT, INSERT, DELETE ON flights TO reader")
    warehouse.connection["login"] = "reader"
    warehouse.connect()
    try:
        with pytest.raises(
            TargetError, match="permission denied for schema public(?s:.*)Give the connection's user"
        ):
            look("sql", {"name": "flights", "conn_id": "warehouse"}, {})
    finally:
        warehouse.sql("DROP OWNED BY reader; DROP ROLE reader")


def test_the_connection_of_another_database_is_refused(warehouse, load, table):
    with pytest.raises(
        Exception, match="conn_id='other', and the table flights was looked up by 'warehouse'"
    ):
        load(PLAN[0], table=table, conn_id="other")
