"""What mapped instances do on a real scheduler: how many run at once, and what a plan that is too long does."""

from __future__ import annotations

from collections import Counter


def test_with_three_active_tasks_three_instances_run_at_once_and_never_four(stack, tmp_path):
    run_id = stack.run("three_at_once", conf={"folder": str(tmp_path)})

    most = [stack.airflow.xcom("three_at_once", run_id, "work", index) for index in range(12)]
    assert max(most) == 3
    assert stack.airflow.most_at_once("three_at_once", run_id, "work") == 3
    labels = [i["rendered_map_index"] for i in stack.airflow.instances("three_at_once", run_id, "work")]
    assert labels == [f"number {n}" for n in range(12)]


def test_one_piece_more_than_airflow_maps_over_fails_the_generator_once_and_names_the_remedy(stack):
    airflow = stack.airflow
    airflow.wait_for_dag("over_the_limit")
    airflow.unpause("over_the_limit")
    run_id = airflow.trigger("over_the_limit")
    assert airflow.wait("over_the_limit", run_id) == "failed"

    instances = airflow.instances("over_the_limit", run_id)
    assert Counter((i["task_id"], i["state"]) for i in instances) == {
        ("product", "failed"): 1,
        ("work", "upstream_failed"): 1,
    }
    (product,) = [i for i in instances if i["task_id"] == "product"]
    assert product["try_number"] == 1
    log = airflow.log("over_the_limit", run_id, "product")
    assert "are 1,025 pieces" in log
    assert "at most 1,024" in log
    assert "batches(product, batch_size=2)" in log
