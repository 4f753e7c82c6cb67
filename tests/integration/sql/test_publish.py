"""publish for a table of PostgreSQL: instances stage, one transaction replaces all their partitions."""

from __future__ import annotations

import pytest

from airflow_mapping_kit.tables.formats import look, publish
from airflow_mapping_kit.tables.staged import run_of

RUN = run_of("none", "run", "load")
PLAN = [{"origin": origin, "date": f"2013-01-0{day}"} for origin in ("EWR", "JFK") for day in (1, 2, 3)]


@pytest.fixture
def table(warehouse):
    return look("sql", {"name": "flights", "conn_id": "warehouse"}, {})


def counts(warehouse):
    found = warehouse.sql(
        "SELECT origin, date::text, count(*), sum(number) FROM flights GROUP BY 1, 2 ORDER BY 1, 2"
    )
    return {f"{origin} {date}": (number, total) for origin, date, number, total in found}


def own_tables(warehouse):
    return {
        name for (name,) in warehouse.sql("SELECT relname FROM pg_class WHERE relname LIKE 'mapping_kit_%'")
    }


def test_all_partitions_are_replaced_at_once_and_others_stay(warehouse, load, table):
    warehouse.sql("INSERT INTO flights SELECT 'EWR', '2013-01-01', 1000, 0 FROM generate_series(1, 3)")
    warehouse.sql("INSERT INTO flights VALUES ('LGA', '2013-01-01', 7, 0)")
    pieces = [load(partition, table=table) for partition in PLAN]
    assert counts(warehouse) == {"EWR 2013-01-01": (3, 3000), "LGA 2013-01-01": (1, 7)}
    done = publish(table, pieces, RUN)
    assert counts(warehouse) == {
        **{f"{piece['origin']} {piece['date']}": (10, 55) for piece in PLAN},
        "LGA 2013-01-01": (1, 7),
    }
    assert (done["rows"], done["replaced_rows"], done["left_over"]) == (60, 3, 0)
    assert own_tables(warehouse) == {"mapping_kit_published", "mapping_kit_published_pkey"}
