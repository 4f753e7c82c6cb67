"""What `mapping-kit migrate` makes of the order that three DAGs ship, run."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from airflow_mapping_kit.lint.migrate.program import main

try:
    from airflow.dag_processing.dagbag import DagBag
except ImportError:  # Airflow 2
    from airflow.models.dagbag import DagBag

ROOT = Path(__file__).resolve().parents[3]
THREE = "order_shipping_three_dags.py"


@pytest.fixture
def shipped(dag_test, tmp_path):
    """Return a function that ships two items by a DAG, and says what it wrote and what a task of it returned."""
    shutil.copytree(ROOT / "include" / "data", tmp_path / "include" / "data")
    order = json.loads((tmp_path / "include" / "data" / "order.json").read_text())
    order["items"] = order["items"][2:4]
    (tmp_path / "order.json").write_text(json.dumps(order))

    def ship(file, dag_id, task_id):
        target = tmp_path / dag_id
        dag = DagBag(str(file)).dags[dag_id]
        done = dag_test(dag, run_conf={"order": str(tmp_path / "order.json"), "target": str(target)})
        states = {place: one.state for place, one in done.items()}
        files = {path.name: json.loads(path.read_text()) for path in sorted(target.iterdir())}
        return files, done[task_id, -1].xcom_pull(task_ids=task_id), states

    return ship


def test_three_dags_as_one_write_the_same_files_and_sum_up_the_same(shipped, tmp_path, capsys):
    dags = tmp_path / "dags"
    dags.mkdir()
    shutil.copy(ROOT / "dags" / THREE, dags)
    assert main([f"{dags / THREE}:{one}" for one in ("order_main", "order_sub", "order_poll")]) == 0
    files, summary, states = shipped(dags / "order_main_mapped.py", "order_main_mapped", "summarise")
    others, other_summary, _ = shipped(ROOT / "dags" / "order_shipping.py", "order_shipping", "summarise")
    assert files == others
    assert list(files) == ["item-03.json"]
    # tests/e2e/test_three_dags.py shows that the three DAGs say this, of the whole order.
    assert summary == {"success": [3], "failed": [4]}
    assert summary["success"] == other_summary["shipped"]
    assert [states["ship", number] for number in range(2)] == ["success", "failed"]


COPY = """\
from pathlib import Path

import pendulum
from airflow.decorators import dag, task

try:
    from airflow.providers.standard.operators.bash import BashOperator
except ImportError:  # Airflow 2
    from airflow.operators.bash import BashOperator


@dag(schedule=None, start_date=pendulum.datetime(2024, 1, 1))
def load_NAME():
    @task
    def load(folder):
        (Path(__file__).parent / folder / "NAME").write_text("rows of NAME")

    load("NAME_files") >> BashOperator(
        task_id="tell",
        bash_command="echo NAME by {{ ti.task_id }} $WHERE",
        env={"WHERE": "NAME_files"},
        append_env=True,
    )


load_NAME()
"""


def test_copies_as_one_write_what_each_of_them_wrote(dag_test, tmp_path):
    for name in ("customers", "orders"):
        (tmp_path / f"{name}.py").write_text(COPY.replace("NAME", name))
        (tmp_path / f"{name}_files").mkdir()
    assert main(["--copies", str(tmp_path / "customers.py"), str(tmp_path / "orders.py")]) == 0
    done = dag_test(DagBag(str(tmp_path / "load_mapped.py")).dags["load_mapped"])
    assert {place: one.state for place, one in done.items()} == {
        ("each.load", 0): "success",
        ("each.load", 1): "success",
        ("each.tell", 0): "success",
        ("each.tell", 1): "success",
    }
    for number, name in enumerate(("customers", "orders")):
        said = done["each.tell", number].xcom_pull(task_ids="each.tell", map_indexes=number)
        assert said == f"{name} by each.tell {name}_files"
    for name in ("customers", "orders"):
        assert (tmp_path / f"{name}_files" / name).read_text() == f"rows of {name}"
