"""What a loop in one task does when an item fails: the guide says it, and this shows it."""

from __future__ import annotations

import uuid

import pendulum
import pytest

from airflows import DAG, dag_test, run_alone, task


@pytest.mark.usefixtures("metadata_db")
def test_a_loop_in_one_task_stops_at_the_item_that_fails_and_a_retry_does_all_again():
    shipped = []

    with DAG(f"l{uuid.uuid4().hex}", schedule=None, start_date=pendulum.datetime(2024, 1, 1)) as dag:

        @task
        def ship(items):
            for item in items:
                shipped.append(item)
                if item == "broken":
                    raise ValueError("no postcode")

        ship(["lamp", "broken", "chair"])

    run = dag_test(dag)
    assert shipped == ["lamp", "broken"]
    instance = run.get_task_instance("ship")
    assert instance.state == "failed"
    assert "no postcode" in str(run_alone(dag, instance))
    assert shipped == ["lamp", "broken"] * 2
