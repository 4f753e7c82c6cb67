"""Run by an environment's own Python: print what the runs of a DAG left behind, as JSON.

Arguments: the DAG's id, the SQLite file of Airflow's metadata, a folder of Parquet files that may not exist.
"""

from __future__ import annotations

import json
import sqlite3
import sys
from pathlib import Path

import duckdb

dag_id, metadata, lake = sys.argv[1:]
connection = sqlite3.connect(metadata)
instances = connection.execute(
    "SELECT task_id, map_index, state, rendered_map_index FROM task_instance WHERE dag_id = ? ORDER BY 1, 2",
    (dag_id,),
)
values = connection.execute(
    "SELECT task_id, value FROM xcom WHERE dag_id = ? AND key = 'return_value' ORDER BY task_id, map_index",
    (dag_id,),
)
rows = {}
for file in sorted(Path(lake).rglob("*.parquet")):
    count = duckdb.execute("SELECT count(*) FROM read_parquet($1)", [str(file)]).fetchone()
    rows[str(file.parent.relative_to(lake))] = count[0]
outcome = {
    "instances": instances.fetchall(),
    "values": [(task_id, json.loads(value)) for task_id, value in values],
    "rows": rows,
}
print(json.dumps(outcome))  # noqa: T201 -- what the test reads
