"""What the kit adds to the parsing of a DAG file: `python benchmarks/parsing.py`.

Airflow imports a DAG file again for every mapped instance, so each millisecond counts as often as there are
pieces. Two files with the same kinds of tasks and the same trigger form are imported in turn, each in a fresh process
in which Airflow's own modules are loaded already, as they are in the process that Airflow forks: one with the
kit, one without. (A form costs more than the kit does: the first `Param` of a process imports jsonschema.)
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys

SDKS = ("boto3", "botocore", "snowflake", "duckdb", "pandas")

BEFORE = """
import json, os, sys, tempfile, time
os.environ["AIRFLOW_HOME"] = tempfile.mkdtemp()
import airflow.decorators, airflow.models.dagbag, airflow.operators.python, airflow.plugins_manager
import pendulum
start = time.process_time()
"""
WITHOUT = """
from airflow.decorators import dag, task
from airflow.models.param import Param
from airflow.operators.bash import BashOperator
params = {
    "mode": Param("scheduled", enum=["scheduled", "custom"]),
    "start_date": Param(None, type=["null", "string"], format="date"),
    "end_date": Param(None, type=["null", "string"], format="date"),
    "origin": Param(["EWR", "JFK"], type="array", items={"type": "string"}, examples=["EWR", "JFK"]),
}
@dag(schedule="@daily", start_date=pendulum.datetime(2024, 1, 1), params=params)
def plain():
    @task
    def partitions():
        return [{"origin": "EWR", "date": "2024-01-01"}]
    BashOperator.partial(task_id="load", bash_command="load $origin $date").expand(env=partitions())
plain()
"""
WITH = """
from airflow.decorators import dag
from airflow_mapping_kit.generators import batches, date_range, product, sql_rows
from airflow_mapping_kit.labels import label
from airflow_mapping_kit.operators.duckdb import DuckDBPartitionOperator
from airflow_mapping_kit.reload import reload_params, reload_partitions
@dag(schedule="@daily", start_date=pendulum.datetime(2024, 1, 1), params=reload_params(origin=["EWR", "JFK"]))
def with_the_kit():
    DuckDBPartitionOperator.partial(
        task_id="load", sql="SELECT $origin, $date", target="lake", map_index_template=label("{origin} {date}")
    ).expand(partition=reload_partitions())
with_the_kit()
"""
AFTER = """
print(json.dumps([1000 * (time.process_time() - start), [name for name in %r if name in sys.modules]]))
"""


def parse(body: str) -> tuple[float, list[str]]:
    """Return the CPU milliseconds that a DAG file took, and the SDKs that it imported."""
    program = BEFORE + body + AFTER % (SDKS,)
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    milliseconds, imported = json.loads(done.stdout.splitlines()[-1])
    return milliseconds, imported


def main() -> None:
    """Print the medians, their difference, and the SDKs that were imported."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=15)
    options = parser.parse_args()
    pairs = [(parse(WITHOUT), parse(WITH)) for _ in range(options.rounds)]
    without = statistics.median(pair[0][0] for pair in pairs)
    with_kit = statistics.median(pair[1][0] for pair in pairs)
    difference = statistics.median(pair[1][0] - pair[0][0] for pair in pairs)
    imported = sorted(
        {name for pair in pairs for name in pair[1][1]} - {name for pair in pairs for name in pair[0][1]}
    )
    print(f"| DAG file | CPU ms, median of {options.rounds} |")
    print("|---|---|")
    print(f"| without the kit | {without:.1f} |")
    print(f"| with the kit | {with_kit:.1f} |")
    print(f"| difference, median of the pairs | {difference:.1f} |")
    print(f"\nOptional SDKs that the kit imported: {', '.join(imported) or 'none'}")


if __name__ == "__main__":
    main()
