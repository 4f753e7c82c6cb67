"""The order that three DAGs ship, as the guide compares it with the one DAG."""

from __future__ import annotations

import json

import pytest

pytestmark = pytest.mark.versions


def sub_runs(stack, order_run):
    """Return the sub DAG's runs of an order, by item."""
    runs = stack.airflow.runs("order_sub")
    return {run["conf"]["piece"]["item"]: run for run in runs if run["conf"]["order_run"] == order_run}


def summary_of(stack, order_run):
    """Wait for the polling DAG's run of an order, and return what it found."""

    def ended():
        for run in stack.airflow.runs("order_poll"):
            if run["state"] in {"success", "failed"}:
                return run["run_id"]
        return None

    run_id = stack.processes.wait("The polling DAG has ended", ended, seconds=120)
    return stack.airflow.xcom("order_poll", run_id, "summarise")


def test_an_order_takes_a_run_an_item_and_two_and_says_success_though_two_items_failed(stack, tmp_path):
    airflow, book = stack.airflow, tmp_path / "addresses.json"
    addresses = json.loads((stack.project / "include" / "data" / "addresses.json").read_text())
    book.write_text(json.dumps(addresses))
    for dag_id in ("order_main", "order_sub", "order_poll"):
        airflow.wait_for_dag(dag_id)
        airflow.unpause(dag_id)
    order_run = stack.run(
        "order_main", conf={"address_book": str(book), "target": str(tmp_path / "shipping")}
    )
    assert summary_of(stack, order_run) == {
        "success": [1, 2, 3, 6, 7, 8, 9, 10, 11, 12],
        "failed": [4, 5],
    }
    # Nobody who looks at the order's own run sees that: it ended when all were sent.
    runs = sub_runs(stack, order_run)
    assert len(runs) == 12
    assert {item for item, run in runs.items() if run["state"] == "failed"} == {4, 5}
    most = max(
        sum(other["start_date"] <= run["start_date"] < other["end_date"] for other in runs.values())
        for run in runs.values()
    )
    assert most == 3
    (poll,) = airflow.runs("order_poll")
    # Between two looks the poll has no slot.
    (polling,) = airflow.instances("order_poll", poll["run_id"], "all_done")
    assert polling["state"] == "success"
    assert airflow.reschedules("order_poll", poll["run_id"], "all_done") > 0
    # The instances have numbers, and so have the runs.
    assert {i["rendered_map_index"] for i in airflow.instances("order_main", order_run, "send")} == {None}

    # What was mended is shipped, and the polling DAG's summary is what it was.
    addresses["Linus"]["postcode"] = "00100"
    book.write_text(json.dumps(addresses))
    airflow.clear("order_sub", runs[4]["run_id"], "ship")
    assert airflow.wait("order_sub", runs[4]["run_id"]) == "success"
    assert summary_of(stack, order_run)["failed"] == [4, 5]
