"""Clear the instances of a run that a JSON argument names; print how many. Runs in Airflow's environment.

``airflow tasks clear`` knows tasks and dates, but neither runs nor map indexes.
"""

from __future__ import annotations

import json
import sys

from airflow.models.dagrun import DagRun
from airflow.models.serialized_dag import SerializedDagModel


def main() -> None:
    """Clear what the argument names."""
    wanted = json.loads(sys.argv[1])
    dag = SerializedDagModel.get_dag(wanted["dag_id"])
    if dag is None:
        sys.exit(f"There is no DAG {wanted['dag_id']!r}.")
    runs = DagRun.find(dag_id=wanted["dag_id"], run_id=wanted["run_id"])
    if not runs:
        sys.exit(f"There is no run {wanted['run_id']!r} of {wanted['dag_id']!r}.")
    task = wanted["task_id"] if wanted["map_index"] is None else (wanted["task_id"], wanted["map_index"])
    after = dag.get_task(wanted["task_id"]).get_flat_relative_ids() if wanted["downstream"] else ()
    cleared = dag.clear(
        task_ids=[task, *after],
        start_date=runs[0].execution_date,
        end_date=runs[0].execution_date,
        only_failed=wanted["only_failed"],
    )
    print(cleared)


if __name__ == "__main__":
    main()
