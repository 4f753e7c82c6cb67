"""One key for a piece wherever it is named, where its generator chooses which fields name it."""

from __future__ import annotations

import pendulum
import pytest

from airflow_mapping_kit.exceptions import PlanError
from airflow_mapping_kit.fan_in import collect
from airflow_mapping_kit.generators import generator
from airflow_mapping_kit.labels import label
from airflow_mapping_kit.plans import early_labels
from airflows import DAG, Run, dag_test, scheduler_dag, store_xcom, task, task_group, xcom_of

START = pendulum.datetime(2024, 1, 1)
ROWS = [{"id": n, "name": name, "password": "quagga"} for n, name in ((1, "Ada"), (2, "Linus"))]
KEYS = ["id=1/name=Ada", "id=2/name=Linus"]

pytestmark = pytest.mark.usefixtures("metadata_db")


@generator
def customers():
    return ROWS


def built(dag_id, plan):
    """Make a DAG that maps in every shape over a plan whose pieces are named by two of three fields."""
    with DAG(dag_id, schedule=None, start_date=START) as dag:

        @task(map_index_template=label())
        def work(row):
            if row["id"] == 2:
                raise ValueError("no good")

        @task(map_index_template=label())
        def by_arguments(id, name, password):
            return id

        @task_group
        def steps(row):
            @task(map_index_template=label())
            def step(row):
                return row["id"]

            step(row)

        rows = plan()
        for mapped in (work.expand(row=rows), by_arguments.expand_kwargs(rows), steps.expand(row=rows)):
            collect(mapped, tolerated_failure_count=1)
    return dag


def test_it_is_the_key_of_rows_labels_and_what_is_recorded_in_every_shape_of_a_plan():
    dag = built("named_by_two_fields", customers.override(key=["id", "name"]))
    run = dag_test(dag)
    for fan_in in ("collect_work", "collect_by_arguments", "collect_steps"):
        rows = xcom_of(run, fan_in)["results"]
        assert [(row["key"], row["label"]) for row in rows] == [(key, key) for key in KEYS], fan_in
    assert xcom_of(run, "collect_work")["results"][1]["error"]["message"] == "no good"
    labels = {ti.map_index: ti.rendered_map_index for ti in run.get_task_instances() if ti.task_id == "work"}
    assert labels == dict(enumerate(KEYS))
    # The plan itself is whole: what is mapped over it needs the rest.
    assert xcom_of(run, "customers") == ROWS


def test_the_scheduler_names_pieces_by_it_too():
    dag = built("named_for_the_scheduler", customers.override(key=["id", "name"]))
    run = Run(dag)
    store_xcom(run.dag_run, "customers", ROWS)
    for task_id in ("work", "by_arguments", "steps.step"):
        operator = scheduler_dag(dag).get_task(task_id)
        found = [
            early_labels.of_instance(operator, dag_id=dag.dag_id, run_id=run.dag_run.run_id, map_index=index)
            for index in range(2)
        ]
        assert found == KEYS, task_id


def test_without_it_all_fields_name_a_piece():
    dag = built("named_by_all_fields", customers)
    run = dag_test(dag)
    (key, _) = [row["key"] for row in xcom_of(run, "collect_work")["results"]]
    assert key.startswith("id=1/name=Ada/password=*")


@pytest.mark.parametrize(
    ("plan", "said"),
    [
        ([{"id": 1}, {"name": "Linus"}], "piece 1 of its plan has no field 'id', which key= names"),
        ([1, 2], "names fields, and piece 0 of its plan is of type int"),
        ([{"id": 1, "n": 1}, {"id": 1, "n": 2}], "id=1"),
    ],
    ids=["a field is missing", "no dicts", "two of one name"],
)
def test_a_plan_whose_pieces_it_cannot_tell_apart_is_refused(plan, said):
    with DAG("unnamed", schedule=None, start_date=START):
        made = generator(lambda: plan).override(task_id="plan", key="id")()
    with pytest.raises(Exception, match=said):
        made.operator.made_of((), {})


def test_two_of_one_name_are_refused_whatever_maps_over_them():
    with DAG("arguments_of_one_name", schedule=None, start_date=START):

        @task
        def work(id, n): ...

        made = generator(lambda: [{"id": 1, "n": 1}, {"id": 1, "n": 2}]).override(task_id="plan", key="id")()
        work.expand_kwargs(made)
    with pytest.raises(Exception, match="id=1"):
        made.operator.made_of((), {})


def test_what_names_no_field_is_refused_when_the_dag_is_parsed():
    with DAG("wrong", schedule=None, start_date=START), pytest.raises(PlanError, match=r"key=\[\]: give"):
        customers.override(key=[])()
