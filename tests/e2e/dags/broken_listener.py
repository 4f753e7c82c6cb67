"""A fan-in whose records can't be written: in the processes that import this file they are refused."""

from __future__ import annotations

import pendulum
from sqlalchemy import text

from airflow_mapping_kit import compat
from airflow_mapping_kit.compat import AIRFLOW_3, dag, task
from airflow_mapping_kit.fan_in import collect
from airflow_mapping_kit.labels import label
from airflow_mapping_kit.reading.records import RECORD_KEY

if AIRFLOW_3:
    from airflow.sdk import get_parsing_context
    from airflow.sdk.execution_time.xcom import XCom

    written = XCom.set

    def refused(key, value, **place):
        """Write anything but a record."""
        if key == RECORD_KEY:
            raise OSError("The API server takes no records.")
        written(key, value, **place)

    # `dag.test()` reads this file for other DAGs too, whose tasks run in the same process.
    if get_parsing_context().task_id:
        XCom.set = refused
else:

    def refused(session, *_):
        """Fail within the transaction."""
        session.execute(text("SELECT * FROM no_such_table"))

    compat.write_plain_xcom = refused


@dag(schedule=None, start_date=pendulum.datetime(2024, 1, 1))
def broken_listener():
    @task(map_index_template=label("divisor {x}"))
    def divide(x):
        return 10 // x

    @task
    def divisors():
        return [5, 0, 2]

    collect(divide.expand(x=divisors()), tolerated_failure_count=1)


broken_listener()
