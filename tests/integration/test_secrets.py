"""What Airflow hides in its logs is in nothing that the kit keeps or says either; and strangers forge no line."""

from __future__ import annotations

import json
import logging
import uuid

import pendulum
import pytest
from sqlalchemy import select

import airflows
from airflow_mapping_kit.compat import BaseHook, xcom_model
from airflow_mapping_kit.fan_in import collect
from airflow_mapping_kit.generators import batches
from airflow_mapping_kit.operators.batched import batched
from airflows import DAG, create_session, task

PASSWORD = "hunter2-zyzzyva"


class ApiError(Exception):
    """As of an SDK: prints what the server sent, which Airflow's masker does not find in its arguments."""

    def __init__(self, said):
        super().__init__()
        self.said = said

    def __str__(self):
        return self.said


def call(n):
    connection = BaseHook.get_connection("api")
    if n == "unprintable":
        raise ApiError({"code": 500})
    raise ApiError(f"401 for svc:{connection.password}@api\nINFO - all is well\x1b[2J")


@pytest.fixture
def run(metadata_db, monkeypatch, caplog, tmp_path):
    """Return a function that runs a DAG in which all fails, and gives its run and all that the kit logged."""
    monkeypatch.setenv(
        "AIRFLOW_CONN_API",
        json.dumps({"conn_type": "http", "host": "api", "login": "svc", "password": PASSWORD}),
    )

    def run(build):
        with DAG(f"s{uuid.uuid4().hex}", schedule=None, start_date=pendulum.datetime(2024, 1, 1)) as dag:
            build(tmp_path)
        ended = airflows.dag_test(dag)
        logged = [record.getMessage() for record in caplog.records if "mapping_kit" in record.name]
        assert not any(record.exc_info for record in caplog.records if "mapping_kit" in record.name)
        return ended, logged

    return run


def kept_of(ended):
    """Return everything that a run keeps: its XComs as they stand in the table, and the labels."""
    table = xcom_model().__table__
    with create_session() as session:
        of_run = table.c.dag_id == ended.dag_id, table.c.run_id == ended.run_id
        values = session.execute(select(table.c.value).where(*of_run)).scalars()
        # Bytes on Airflow 2, JSON on 3.
        xcoms = [value.decode() if isinstance(value, bytes) else json.dumps(value) for value in values]
    return xcoms + [str(one.rendered_map_index) for one in ended.get_task_instances()]


def build_failing(folder):
    @task
    def plain(n):
        call(n)

    @batched(item_retries=1, item_retry_delay=0.01)
    def one_by_one(n):
        call(n)

    @batched
    async def in_a_loop(n):
        call(n)

    items = ["a", "unprintable"]
    collect(plain.expand(n=items), task_id="of_plain")
    collect(one_by_one.expand(n=batches(items, batch_size=2)), task_id="of_batch")
    collect(in_a_loop.expand(n=batches(items, batch_size=2)), task_id="of_loop")
    collect(
        plain.override(task_id="again").expand(n=items), task_id="of_file", write_to=f"{folder}/rows.jsonl"
    )


def test_an_error_is_kept_and_said_without_the_password_of_a_connection(run, tmp_path):
    ended, logged = run(build_failing)
    rows = {name: airflows.xcom_of(ended, name)["results"] for name in ("of_plain", "of_batch", "of_loop")}
    rows["of_file"] = [json.loads(line) for line in (tmp_path / "rows.jsonl").read_text().splitlines()]
    for found in rows.values():
        assert [row["error"] for row in found] == [
            {"type": "ApiError", "message": "401 for svc:***@api\nINFO - all is well\\x1b[2J"},
            {"type": "ApiError", "message": "ApiError() (its text can't be had: TypeError)"},
        ]
    assert kept_of(ended)
    for text in [*kept_of(ended), *logged]:
        assert PASSWORD not in text
    # Two tries of an item, one of another, and each fan-in.
    said = "\n".join(logged)
    assert said.count("svc:***@api") == 7
    assert "\x1b" not in said
    assert not any(line.startswith("INFO - all is well") for line in said.splitlines())


ACCOUNTS = [{"account": "a1", "password": PASSWORD}, {"account": "a2", "password": f"{PASSWORD}-2"}]


def build_secret_fields(_):
    @task
    def accounts():
        return ACCOUNTS

    @task(map_index_template="{{ macros.mapping_kit.label('{account} {password}') }}")
    def each(account):
        return account["account"]

    @batched
    def sync(account):
        logging.getLogger("airflow.task").info("at work")
        if account["account"] == "a2":
            raise ValueError("no good")

    collect(each.expand(account=accounts()), task_id="of_each")
    collect(sync.expand(account=batches(accounts(), batch_size=2)), task_id="of_batch")


def test_a_field_that_airflow_hides_by_its_name_is_in_no_key_no_label_and_no_log(run):
    ended, logged = run(build_secret_fields)
    report = airflows.xcom_of(ended, "of_each")
    keys = [row["key"] for row in report["results"]]
    assert [key.partition("*")[0] for key in keys] == ["account=a1/password=", "account=a2/password="]
    assert len({key[-12:] for key in keys}) == 2
    assert [row["label"] for row in report["results"]] == [
        f"a{n} *{key[-12:]}" for n, key in enumerate(keys, 1)
    ]
    assert [row["key"] for row in airflows.xcom_of(ended, "of_batch")["results"]] == keys
    plans = {json.dumps(ACCOUNTS), json.dumps([ACCOUNTS])}
    for text in [*(one for one in kept_of(ended) if one not in plans), *logged]:
        assert PASSWORD not in text
    assert any(f"[{keys[1]}] Failed" in text for text in logged)
