"""Do what Airflow's commands do for whoever asks over a Unix socket. Runs in Airflow's environment.

Any of those commands takes five CPU-seconds, nearly all of them to get started: one process that stays starts once.
"""

from __future__ import annotations

import json
import sys
import traceback
from multiprocessing.connection import Listener
from typing import TYPE_CHECKING, Any

from stack.airflow import AIRFLOW_3

if AIRFLOW_3:
    from airflow.dag_processing.dagbag import DagBag
else:
    from airflow.models.dagbag import DagBag

if TYPE_CHECKING:
    from collections.abc import Callable


def test(*, file: str, dag_id: str, conf: dict[str, Any]) -> str:
    """Run a whole DAG in this process, as `airflow dags test` does, and return the run's id."""
    bag = DagBag(file)
    if dag_id not in bag.dags:
        raise LookupError(f"{file} has no DAG {dag_id!r}: {bag.import_errors or sorted(bag.dags)}.")
    run_id: str = bag.dags[dag_id].test(run_conf=conf).run_id
    return run_id


COMMANDS: dict[str, Callable[..., Any]] = {"test": test}
# Those of Airflow 3 go through its API.
if not AIRFLOW_3:
    from stack import commands_2

    COMMANDS |= {
        "trigger": commands_2.trigger,
        "clear": commands_2.clear,
        "create_users": commands_2.create_users,
    }


def main() -> None:
    """Answer one request after the other, each `{"command": its name, "arguments": {...}}` as JSON."""
    with Listener(sys.argv[1]) as listener:
        while True:
            with listener.accept() as caller:
                asked = json.loads(caller.recv_bytes())
                try:
                    answer = {"result": COMMANDS[asked["command"]](**asked["arguments"])}
                except Exception as error:  # noqa: BLE001 - who asked is told
                    traceback.print_exc()
                    answer = {"error": f"{type(error).__name__}: {error}"}
                caller.send_bytes(json.dumps(answer).encode())


if __name__ == "__main__":
    main()
