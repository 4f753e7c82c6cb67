"""What a fan-in holds in memory of items that are kept elsewhere: next to nothing, however many there are."""

from __future__ import annotations

import json
import tracemalloc
from pathlib import Path
from types import SimpleNamespace

import pendulum
import pytest

from airflow_mapping_kit.fan_in import collect, report, rows
from airflow_mapping_kit.generators import generator
from airflow_mapping_kit.operators.batched import batched
from airflow_mapping_kit.outcomes.states import outcome
from airflow_mapping_kit.plans.mapped import Mapped
from airflow_mapping_kit.plans.slices import Slice
from airflow_mapping_kit.reading.instances import Instance
from airflows import DAG

PARTS, SIZE, VALUE = 100, 200, "x" * 1000
ERROR = {"type": "ValueError", "message": "broken"}


class Run:
    """A run of 20,000 items in files of 25 MB, as `collect` reads it."""

    def __init__(self, folder):
        self.slices, self.pushed = [], {}
        for index in range(PARTS):
            first = index * SIZE
            self.slices.append(Slice("/plan", 0, 1, first, SIZE, PARTS * SIZE, [first, first]).as_json())
            lines = [self.line(number) for number in range(first, first + SIZE)]
            where, failed_in = folder / f"{index}.0" / "a.jsonl", folder / f"{index}.0" / "a.failed.jsonl"
            where.parent.mkdir(parents=True)
            where.write_text("".join(lines))
            failed_in.write_text(lines[0])
            summary = {
                "where": str(where),
                "map_index": index,
                "max_tries": 0,
                "first": first,
                "count": SIZE,
                "total": PARTS * SIZE,
                "bytes": where.stat().st_size,
                "states": {"success": SIZE - 1, "failed": 1},
                "errors": [["ValueError: broken", 1]],
                "failed": [f"x={first}"],
                "failed_in": str(failed_in),
            }
            self.pushed[index] = {"mapping_kit_part": summary}

    @staticmethod
    def line(number):
        failed = number % SIZE == 0
        result = {
            "key": f"x={number}",
            "state": "failed" if failed else "success",
            "value": None if failed else VALUE,
        }
        result |= {"error": ERROR if failed else None, "tries": 1, "duration_s": 0.1}
        return f"{json.dumps({'item': number, **result}, separators=(',', ':'))}\n"

    def instances(self, dag_id, run_id, task_ids):
        one = Instance("failed", 1, 1.0, None, 0)
        return {
            task_id: dict.fromkeys(range(PARTS), one) if task_id == "ship" else {-1: one}
            for task_id in task_ids
        }

    def xcoms(self, dag_id, run_id, wanted):
        found = {("ship", "return_value"): self.pushed, ("numbers", "return_value"): {-1: self.slices}}
        return {pair: found.get(pair, {}) for pair in wanted}

    def xcom(self, *_):
        raise AssertionError("all is in files")


@generator
def numbers():
    yield 1


@batched
def ship(x): ...


@pytest.mark.parametrize("write_to", [None, "rows.jsonl"])
def test_twenty_thousand_items_of_a_kilobyte_take_no_memory(monkeypatch, tmp_path, write_to):
    monkeypatch.setenv("AIRFLOW__MAPPING_KIT__STORAGE", str(tmp_path / "kit"))
    monkeypatch.setenv("AIRFLOW__CORE__EXECUTOR", "LocalExecutor")
    with DAG("large", schedule=None, start_date=pendulum.datetime(2024, 1, 1)) as dag:
        collect(ship.expand(x=numbers.override(batch_size=SIZE)()), task_id="all")
    run, target = Run(tmp_path / "parts"), Mapped.collected_by(dag.get_task("all"))
    instance = SimpleNamespace(dag_id="large", run_id="r", task_id="all", map_index=-1)
    path = None if write_to is None else str(tmp_path / write_to)

    tracemalloc.start()
    made = report.made_of(outcome(target, "r", run), values=True, write_to=path, instance=instance)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()

    assert made.trouble is None
    # Half of it may be what is imported on the way. As text alone the results are 20 MiB.
    assert peak < 16 * 2**20
    assert (made.pushed["failed"], len(made.pushed["failures"])) == (PARTS, PARTS)
    assert sum(row["value"] == VALUE for row in rows(made.pushed)) == PARTS * (SIZE - 1)
    if write_to is None:
        manifest = json.loads(Path(made.pushed["written_to"]).read_text())
        assert manifest["files"] == [one["mapping_kit_part"]["where"] for one in run.pushed.values()]
        assert len(Path(made.pushed["failed_in"]).read_text().splitlines()) == PARTS
