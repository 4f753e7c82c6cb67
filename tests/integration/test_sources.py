"""Items of files and queries in runs of a DAG: streamed into a plan, worked on in batches, each in one row."""

from __future__ import annotations

import gzip
import json
import logging
import sqlite3
import uuid

import pendulum
import pytest

from airflow_mapping_kit.exceptions import MappingKitError
from airflow_mapping_kit.fan_in import collect
from airflow_mapping_kit.generators import file_rows, generator, sql_rows
from airflow_mapping_kit.operators.batched import batched
from airflow_mapping_kit.plans.slices import Slice
from airflow_mapping_kit.results import part_of
from airflows import AIRFLOW_3, dag, xcom_of

NUMBER = 1_500
# So long that all orders together are too large for an XCom, and their ends for a label are not.
CITY = "Llanfairpwllgwyngyllgogerychwyrndrobwllllantysiliogogogoch" * 3


def a_dag(build, **kwargs):
    @dag(
        dag_id=f"s{uuid.uuid4().hex}",
        schedule=None,
        start_date=pendulum.datetime(2024, 1, 1),
        default_args={"retries": 3},
        **kwargs,
    )
    def built():
        build()

    return built()


@batched(retries=0)
def ship(order):
    return int(order["id"])


@pytest.fixture
def orders(tmp_path):
    """Write orders into two files, so that their ids are text from 0 on."""
    for part in (0, 1):
        with gzip.open(tmp_path / f"{part}.csv.gz", "wt") as file:
            file.write("id,city\n")
            file.writelines(
                f"{number},{CITY}\n" for number in range(part * NUMBER // 2, (part + 1) * NUMBER // 2)
            )
    return str(tmp_path / "*.csv.gz")


def sizes(plan):
    """Return how many items the batches of a plan hold, wherever these are kept."""
    return [len(batch) if isinstance(batch, list) else Slice.of(batch).count for batch in plan]


def test_rows_of_files_are_worked_on_in_batches_each_once(dag_test, orders):
    done = dag_test(a_dag(lambda: ship.expand(order=file_rows(orders, batch_size="{{ 600 }}"))))

    plan = xcom_of(done["ship", 0], "file_rows")
    assert [Slice.of(batch)[3:6] for batch in plan] == [
        (0, 600, NUMBER),
        (600, 600, NUMBER),
        (1200, 300, NUMBER),
    ]
    assert [Slice.of(plan[2]).ends[at]["id"] for at in (0, 1)] == ["1200", "1499"]
    parts = [part_of(done["ship", index].xcom_pull(task_ids="ship", map_indexes=index)) for index in range(3)]
    assert [part["states"] for part in parts] == [{"success": 600}, {"success": 600}, {"success": 300}]


def test_how_many_rows_are_in_a_batch_is_chosen_where_nobody_says_it(run_of, orders):
    run = run_of(a_dag(lambda: ship.expand(order=file_rows(orders))))
    state, plan = run.run("file_rows")
    assert (state, sizes(plan)) == ("success", [50] * (NUMBER // 50))


def test_rows_of_a_query_are_worked_on_in_batches(run_of, tmp_path, monkeypatch):
    with sqlite3.connect(tmp_path / "shop.db") as connection:
        connection.execute("CREATE TABLE orders (id INT)")
        connection.executemany("INSERT INTO orders VALUES (?)", ((n,) for n in range(NUMBER)))
    shop = {"conn_type": "sqlite", "host": str(tmp_path / "shop.db")}
    monkeypatch.setenv("AIRFLOW_CONN_SHOP", json.dumps(shop))
    rows = "SELECT id FROM orders ORDER BY id"
    run = run_of(a_dag(lambda: ship.expand(order=sql_rows("shop", rows, batch_size=600))))
    state, plan = run.run("sql_rows")
    assert (state, sizes(plan)) == ("success", [600, 600, 300])


def test_a_generator_of_ones_own_may_be_any_iterator(run_of):
    @generator
    def mornings(number):
        return map("2024-01-{:02}".format, range(1, number + 1))

    run = run_of(a_dag(lambda: ship.expand(order=mornings.override(batch_size=2)(3))))
    assert run.run("mornings") == ("success", [["2024-01-01", "2024-01-02"], ["2024-01-03"]])


def test_a_line_that_is_broken_fails_at_once_before_any_instance_is_made(dag_test, orders, tmp_path, caplog):
    with gzip.open(tmp_path / "2.csv.gz", "wt") as file:
        file.write("id,city\n1500,Oslo\n1501\n")

    def build():
        collect(ship.expand(order=file_rows(orders, batch_size=600)))

    with caplog.at_level(logging.ERROR):
        done = dag_test(a_dag(build))

    assert done["file_rows", -1].state == "failed"  # not up_for_retry, though three retries are left
    assert "2.csv.gz, line 3, has 1 value for 2 columns, and none for 'city'" in caplog.text
    assert done["ship", -1].state == "upstream_failed"


def test_a_file_that_is_not_there_is_looked_for_again(run_of, tmp_path, caplog):
    with caplog.at_level(logging.ERROR):
        state, _ = run_of(a_dag(lambda: file_rows(str(tmp_path / "{{ ds }}.csv")))).run("file_rows")
    assert state == "up_for_retry"
    assert AIRFLOW_3 or "There is no file" in caplog.text


@pytest.mark.parametrize("on_empty", ["skip", "fail"])
def test_a_table_of_no_rows_skips_or_fails(run_of, tmp_path, on_empty):
    (tmp_path / "a.csv").write_text("id,city\n")
    rows = file_rows.override(on_empty=on_empty)
    run = run_of(a_dag(lambda: ship.expand(order=rows(str(tmp_path / "a.csv")))))
    assert run.run("file_rows")[0] == {"skip": "skipped", "fail": "failed"}[on_empty]


@pytest.mark.parametrize(
    "given",
    [
        {"path": "orders.json"},
        {"path": "s3://lake"},
        {"path": "orders/"},
        {"path": 5},
        {"path": "a.csv", "batch_size": 0},
        {"path": "a.csv", "columns": "id"},
        {"path": "{{ params.path }}", "delimiter": ";;"},
        {"path": "{{ params.path }}", "format": "xml"},
    ],
)
def test_what_cannot_be_read_is_an_error_of_the_dags_file(given):
    with pytest.raises(MappingKitError):
        a_dag(lambda: file_rows(**given))


def test_what_is_known_at_run_time_alone_is_checked_then():
    a_dag(lambda: file_rows("{{ params.path }}"))
    a_dag(lambda: file_rows("orders", format="{{ params.format }}", columns="{{ params.columns }}"))
