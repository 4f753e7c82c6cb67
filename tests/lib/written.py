"""Histories of runs, written straight into Airflow's tables: what Airflow and the kit would have left."""

from __future__ import annotations

import itertools
import json
import uuid
from datetime import datetime, timedelta, timezone

import pendulum
from airflow.models.dagrun import DagRun
from airflow.models.taskinstance import TaskInstance
from airflow.utils.session import create_session
from sqlalchemy import delete, insert

import airflows
from airflow_mapping_kit.compat import AIRFLOW_3, xcom_model
from airflow_mapping_kit.fan_in import collect
from airflow_mapping_kit.policy import task_policy
from airflow_mapping_kit.reload import reload_params, reload_partitions

RUNS, INSTANCES = DagRun.__table__, TaskInstance.__table__
START = datetime(2024, 1, 1, tzinfo=timezone.utc)
_numbers = itertools.count(1)


def at(minutes):
    """Return a moment, so many minutes after the start of all histories."""
    return START + timedelta(minutes=minutes)


ORIGINS = ["EWR", "JFK", "LGA"]


def reloaded(dag_id, schedule=None, **options):
    """Return a DAG of which every origin is loaded for each period, with what the policy notes of it."""
    with airflows.DAG(
        dag_id,
        schedule=schedule,
        start_date=pendulum.datetime(2013, 1, 1),
        params=reload_params(origin=ORIGINS),
        **options,
    ) as dag:

        @airflows.task
        def load(partition):
            return partition

        collect(load.expand(partition=reload_partitions()))
    return noted(dag)


def noted(dag):
    """Have the policy note what a serialized DAG forgets, as Airflow does when it reads a file."""
    for one in dag.tasks:
        task_policy(one)
    return dag


class Written:
    """The runs of a DAG, written row by row and kept in the tables by `flush`."""

    def __init__(self, dag):
        airflows.store(dag)
        self.dag = dag
        self.dag_id = dag.dag_id
        self._version = None
        if AIRFLOW_3:
            from airflow.models.dag_version import DagVersion

            with create_session() as session:
                self._version = DagVersion.get_latest_version(dag.dag_id, session=session).id
        self.runs, self.instances, self.xcoms, self.stored_rows = [], [], [], []
        self._alone = set()

    def run(
        self,
        run_id,
        *,
        started,
        ended=None,
        state="success",
        kind="manual",
        conf=None,
        interval=None,
        date=None,
    ):
        """Add a run."""
        # With gaps: those that Airflow makes come after the last one.
        number = next(_numbers) * 1000 + 1_000_000
        moment = date or (started or START) + timedelta(microseconds=number)
        row = {
            "id": number, "dag_id": self.dag_id, "run_id": run_id, "state": state, "run_type": kind,
            "queued_at": started or START, "start_date": started, "end_date": ended, "conf": conf or {},
            "data_interval_start": (interval or (moment, moment))[0],
            "data_interval_end": (interval or (moment, moment))[1], "clear_number": 0,
            "updated_at": ended or started,
        }  # fmt: skip
        if AIRFLOW_3:
            row |= {
                "logical_date": moment, "run_after": moment, "triggered_by": "TEST", "span_status": "not_started",
                "created_dag_version_id": self._version,
            }  # fmt: skip
        else:
            row |= {"execution_date": moment, "external_trigger": kind == "manual"}
        self.runs.append(row)
        return row

    def instance(
        self,
        run,
        task_id,
        map_index,
        state,
        *,
        start=None,
        end=None,
        updated=None,
        tries=1,
        max_tries=0,
        label=None,
    ):
        """Add an instance."""
        row = {
            "dag_id": self.dag_id, "run_id": run["run_id"], "task_id": task_id, "map_index": map_index, "state": state,
            "try_number": tries, "max_tries": max_tries, "start_date": start, "end_date": end,
            "duration": (end - start).total_seconds() if start and end else None,
            "updated_at": updated or end or start, "rendered_map_index": label, "pool": "default_pool",
            "pool_slots": 1, "queue": "default", "priority_weight": 1, "operator": "x", "hostname": "",
            "task_display_name": task_id,
        }  # fmt: skip
        if AIRFLOW_3:
            row |= {"id": uuid.uuid4(), "dag_version_id": self._version, "span_status": "not_started"}
        else:
            row |= {"unixname": "", "executor_config": {}}
        self.instances.append(row)
        return row

    def xcom(self, run, task_id, value, *, key="return_value", map_index=-1, when=None):
        """Add what an instance pushed; of a task that is not mapped the instance too."""
        place = (run["run_id"], task_id)
        if map_index < 0 and place not in self._alone:
            self._alone.add(place)
            self.instance(run, task_id, -1, "success", start=run["start_date"], end=run["start_date"])
        self.xcoms.append(
            {
                "dag_run_id": run["id"],
                "dag_id": self.dag_id,
                "run_id": run["run_id"],
                "task_id": task_id,
                "map_index": map_index,
                "key": key,
                "timestamp": when or run["start_date"],
                "value": value if AIRFLOW_3 else json.dumps(value).encode(),
            }  # fmt: skip
        )

    def saved(self, run, task_id, map_index, rows, *, anchor, max_tries=0):
        """Add what an instance has saved of its batch, where this Airflow keeps it."""
        lines = "\n".join(json.dumps({"item": item, **row}) for item, row in enumerate(rows))
        if not AIRFLOW_3:
            key = f"mapping_kit/{task_id}/{map_index}/{max_tries}/{uuid.uuid4().hex[:8]}.0"
            self.xcom(run, anchor, lines, key=key)
            return
        place = {"dag_run_id": run["id"], "dag_id": self.dag_id, "run_id": run["run_id"], "task_id": task_id}
        for key, value in (("mapping_kit", {"max_tries": max_tries}), ("mapping_kit/0", lines)):
            self.stored_rows.append(
                {**place, "map_index": map_index, "key": key, "value": json.dumps(value), "updated_at": START}
            )

    def flush(self, *, anew=False):
        """Write what was added since.

        :param anew: whether all that the tables have of the DAG is deleted first.
        """
        with create_session() as session:
            for table in (xcom_model().__table__, INSTANCES, RUNS) if anew else ():
                session.execute(delete(table).where(table.c.dag_id == self.dag_id))
            for table, rows in (
                (RUNS, self.runs),
                (INSTANCES, self.instances),
                (xcom_model().__table__, self.xcoms),
                *([(_store(), self.stored_rows)] if self.stored_rows else []),
            ):
                for start in range(0, len(rows), 2000):
                    session.execute(insert(table), rows[start : start + 2000])
        self.runs, self.instances, self.xcoms, self.stored_rows = [], [], [], []

    def stored(self):
        """Return the DAG as the database has it."""
        return airflows.scheduler_dag(self.dag)


def _store():
    from airflow.models.task_state_store import TaskStateStoreModel

    return TaskStateStoreModel.__table__
