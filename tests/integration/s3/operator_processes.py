"""Run S3MoveKeysOperator in a fork for each line of JSON on stdin; print its pid, then its exit status."""

from __future__ import annotations

import json
import os
import sys
import traceback

from airflow_mapping_kit.operators.s3 import S3MoveKeysOperator
from airflow_mapping_kit.storage.buckets import s3_client


def run(order: dict) -> None:
    os.environ["AIRFLOW_CONN_S3"] = order["connection"]
    S3MoveKeysOperator(task_id="move", aws_conn_id="s3", **order["arguments"]).execute({})


def main() -> None:
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)  # Airflow logs to stdout
    # Airflow reads all its providers for its first client: once, before the forks.
    s3_client(None)
    for line in sys.stdin:
        pid = os.fork()
        if pid == 0:
            try:
                run(json.loads(line))
            except BaseException:  # noqa: BLE001  a fork must not go on with the parent's loop
                traceback.print_exc()
                os._exit(1)
            os._exit(0)
        print(pid, file=answers)
        _, status = os.waitpid(pid, 0)
        print(os.waitstatus_to_exitcode(status), file=answers)


main()
