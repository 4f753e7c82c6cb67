"""What is known of a DAG from its file is known of it without: as Airflow's scheduler and web servers have it."""

from __future__ import annotations

import dataclasses
import uuid

import pendulum
import pytest
from airflow import settings

from airflow_mapping_kit import labels
from airflow_mapping_kit.checkpoints.checkpoint import outlive_tries
from airflow_mapping_kit.fan_in import collect
from airflow_mapping_kit.generators import batches, date_range, product
from airflow_mapping_kit.operators.batched import batched
from airflow_mapping_kit.operators.duckdb import DuckDBPartitionOperator
from airflow_mapping_kit.outcomes.states import outcome
from airflow_mapping_kit.plans import notes
from airflow_mapping_kit.plans.batches import batched as batched_of
from airflow_mapping_kit.plans.batches import items_key_of, keeps_what_is_done
from airflow_mapping_kit.plans.makers import maker_of
from airflow_mapping_kit.plans.mapped import collected_by, mapped_in
from airflow_mapping_kit.redrive.wanted import redrive
from airflows import DAG, dag_test, scheduler_dag, task, task_group, teardown


@pytest.fixture
def built():
    """A DAG with every kind of mapped task: of each, what serialization forgets counts."""
    with DAG(f"s{uuid.uuid4().hex}", schedule=None, start_date=pendulum.datetime(2024, 1, 1)) as made:

        @task
        def numbers():
            return [1, 2, 3]

        @task
        def crossed(zebra, ant):
            if (zebra, ant) == (2, 20):
                raise ValueError("two")
            return zebra * 100 + ant

        collect(crossed.expand(zebra=numbers(), ant=[10, 20]))

        @batched(key="n")
        def tripled(item):
            if item["n"] == 4:
                raise ValueError("four")
            return item["n"] * 3

        parts = batches.override(task_id="parts")([{"n": n} for n in range(6)], batch_size=2)
        first = tripled.expand(item=parts)

        @batched
        def halved(item):
            return item / 2

        collect(halved.expand(item=first))

        DuckDBPartitionOperator.partial(
            task_id="load", sql="SELECT 1 AS x, $date AS date", target="/tmp/x"
        ).expand(partition=date_range.override(task_id="days")("2024-01-01", "2024-01-02"))

        @task
        def opened(n):
            return n

        @task
        def worked(n):
            if n == 2:
                raise ValueError("two")
            return n

        @teardown
        def closed(): ...

        @teardown(on_failure_fail_dagrun=True)
        def counted(): ...

        @task_group
        def piece(n, more):
            begun = opened(n).as_setup()
            done = worked(begun)
            done >> [closed().as_teardown(setups=begun), counted().as_teardown(setups=begun)]
            return {"worked": done, "opened": [begun]}

        collect(piece.expand(n=[1, 2], more=product.override(task_id="more")(a=["x", "y"])))

        @task_group
        def of_batches(item):
            return tripled.override(task_id="in_group")(item)

        of_batches.expand(item=parts)
    for operator in made.tasks:
        settings.task_policy(operator)
    return made


def of_task(operator):
    return {
        "batched": batched_of(operator),
        "items_key": items_key_of(operator) if batched_of(operator) else None,
        "keeps": keeps_what_is_done(operator) if batched_of(operator) else False,
        "maker": maker_of(operator),
        "outlives": outlive_tries(operator) if batched_of(operator) else False,
        "collects": (found := collected_by(operator)) and (found.name, list(found.task_ids), found.returns),
    }


def test_of_every_task_the_same_is_known_with_its_file_and_without(built):
    stored = scheduler_dag(built)
    known = {task_id: of_task(built.get_task(task_id)) for task_id in built.task_dict}
    assert {task_id: of_task(stored.get_task(task_id)) for task_id in stored.task_dict} == known
    assert known["tripled"]["items_key"] == "return_value"
    assert (
        known["tripled"]["maker"]
        == known["halved"]["maker"]
        == known["of_batches.in_group"]["maker"]
        == "parts"
    )
    assert known["load"]["maker"] == "days"
    assert known["halved"]["batched"].chained
    assert known["collect_piece"]["collects"][2] == {"worked": "piece.worked", "opened": ["piece.opened"]}
    assert known["numbers"] == dict.fromkeys(known["numbers"], None) | {"keeps": False, "outlives": False}


def test_what_is_mapped_is_the_same_with_the_file_and_without(built):
    def fields(mapped):
        return {
            field.name: getattr(mapped, field.name)
            for field in dataclasses.fields(mapped)
            if field.name not in ("expand_input", "dag")
        }

    stored = scheduler_dag(built)
    declared = {one.name: fields(one) for one in mapped_in(built)}
    for one in mapped_in(stored):
        found = fields(one)
        assert {name: sorted(v) if isinstance(v, tuple) else v for name, v in found.items()} == {
            name: sorted(v) if isinstance(v, tuple) else v for name, v in declared[one.name].items()
        }
    assert {one.name for one in mapped_in(stored)} == declared.keys()
    assert declared["piece"]["teardowns"] == ("piece.closed",)
    names = [one.name for one in mapped_in(stored)]
    assert names.index("tripled") < names.index("halved")


def test_what_became_of_the_pieces_and_what_has_to_run_again_is_the_same_without_the_file(metadata_db, built):
    run = dag_test(built)
    stored = scheduler_dag(built)

    def seen(dag):
        found = {one.name: one for one in mapped_in(dag)}
        del found["load"]  # nothing is to be written
        rows = {name: list(outcome(one, run.run_id).rows()) for name, one in found.items()}
        again = redrive(list(found.values()), run.run_id, run_state="failed")
        return rows, {name: sorted(getattr(again, name)) for name in ("before", "pieces", "after", "at_work")}

    rows, again = seen(stored)
    assert (rows, again) == seen(built)
    assert [row["key"] for row in rows["crossed"] if row["state"] == "failed"] == ["ant=20/zebra=2"]
    assert [row["key"] for row in rows["tripled"] if row["state"] == "failed"] == ["n=4"]
    assert [(one.task_id, one.map_index) for one in again["pieces"] if one.task_id == "tripled"] == [
        ("tripled", 2)
    ]


def test_a_dag_that_was_read_without_the_policy_is_said_to_lack_its_notes(built):
    for operator in built.tasks:
        vars(operator).pop("template_fields_renderers", None)
        if hasattr(operator, "partial_kwargs"):
            operator.template_fields_renderers = operator.operator_class.template_fields_renderers
    stored = scheduler_dag(built)
    assert notes.said_of_missing(built) is None
    missing = notes.without_note(stored)
    assert {"crossed", "collect_crossed", "piece.worked", "tripled", "load"} <= set(missing)
    assert not {"numbers", "parts", "days", "more"} & set(missing)
    said = notes.said_of_missing(stored)
    assert built.dag_id in said
    assert "crossed" in said


def test_a_note_changes_nothing_that_a_user_sees(built):
    before = {
        operator.task_id: (tuple(operator.template_fields), getattr(operator, "map_index_template", None))
        for operator in built.tasks
    }
    stored = scheduler_dag(built)
    for operator in built.tasks:
        settings.task_policy(operator)  # a file may be read more than once
        seen = stored.get_task(operator.task_id)
        assert (tuple(seen.template_fields), getattr(seen, "map_index_template", None)) == before[
            operator.task_id
        ]
        renderers = dict(seen.template_fields_renderers)
        renderers.pop("mapping_kit", None)
        assert renderers == getattr(operator, "operator_class", type(operator)).template_fields_renderers
        assert (
            "mapping_kit" not in getattr(operator, "operator_class", type(operator)).template_fields_renderers
        )
    assert labels.format_of(labels.label("{x}")) == "{x}"
