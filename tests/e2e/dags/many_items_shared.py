"""Many items in batches by reference; files say what goes wrong, and where it waits to be killed.

Two files declare it, each under a name of its own: what a file imports must not declare any.
"""

from __future__ import annotations

import os
import time
from datetime import timedelta
from pathlib import Path

import pendulum

from airflow_mapping_kit.compat import dag, task
from airflow_mapping_kit.fan_in import collect, rows
from airflow_mapping_kit.generators import generator
from airflow_mapping_kit.operators.batched import batched


def wait_there(folder: str, what: str, attempt: int) -> None:
    """Say that a process is there in its first try, and wait to be killed: if a test asked for it."""
    if attempt == 1 and Path(folder, f"kill_{what}").exists():
        Path(folder, f"{what}.pid").write_text(str(os.getpid()))
        time.sleep(120)


@generator
def keys(items: int, folder: str):
    """Make the items one by one."""
    for number in range(items):
        if (
            number == items // 2
            and Path(folder, "kill_keys").exists()
            and not Path(folder, "keys.pid").exists()
        ):
            wait_there(folder, "keys", 1)
        yield f"landing/2026-11-26/orders/{number:09}.json.gz"


def many_items(dag_id: str):
    """Declare the DAG under a name."""

    @dag(
        dag_id,
        schedule=None,
        start_date=pendulum.datetime(2024, 1, 1),
        render_template_as_native_obj=True,
        params={"items": 10, "batch_size": 10, "folder": "", "tolerated": 0, "fail": 0},
        default_args={"retries": 1, "retry_delay": timedelta(0)},
    )
    def declared():
        @batched
        def ship(key, params=None, ti=None):
            number = int(key[-17:-8])
            if ti.map_index == 1 and number % 1000 == 500:  # half of a batch is done
                wait_there(params["folder"], "ship", ti.try_number)
            if Path(params["folder"], "healed").exists():
                with Path(params["folder"], f"calls-{ti.map_index}").open("a") as calls:
                    calls.write(f"{number}\n")
            elif params["fail"] and number % params["fail"] == 0:
                raise ValueError(f"the answer was 50{number % 3}")
            return number

        @batched
        def times(number, factor):
            return factor * number

        @task(trigger_rule="all_done")
        def added_up(report):
            """Read all rows of a report, wherever they are."""
            found = [(row["state"], row["value"], row["key"]) for row in rows(report)]
            values = [value for state, value, _ in found if state == "success"]
            return {"rows": len(found), "keys": len({key for *_, key in found}), "sum": sum(values)}

        made = keys.override(batch_size="{{ params.batch_size }}")(
            items="{{ params['items'] }}", folder="{{ params.folder }}"
        )
        shipped = ship.expand(key=made)
        report = collect(shipped, tolerated_failure_count="{{ params.tolerated }}")
        added_up(report)
        # Beside what is elsewhere a list: each batch meets each of its values.
        twice = times.override(trigger_rule="all_done").expand(number=shipped, factor=[2])
        collect(twice, tolerated_failure_percentage=100)

    return declared()
