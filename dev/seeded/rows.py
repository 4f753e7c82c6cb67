"""Runs and instances as rows of Airflow's tables, those that Airflow and the kit would have written.

By SQL of PostgreSQL, a statement for all instances of a task: 250,000 of them take a quarter of a minute.
"""

from __future__ import annotations

import json
import pickle
from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING, Any, NamedTuple

from psycopg2.extras import Json

from stack.airflow import AIRFLOW_3

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from stack.postgres import Postgres

EMPTY = pickle.dumps({})


class Run(NamedTuple):
    """A run that has been written."""

    dag_id: str
    run_id: str
    number: int
    began: datetime


class Instance(NamedTuple):
    """What became of a mapped instance.

    :param after: seconds from the begin of its run to its own; `None` where it never began.
    :param record: what the kit keeps of it: key, label, try number, error.
    :param returned: what it returned, if it is to be kept.
    """

    state: str | None
    label: str
    tries: int = 1
    after: float | None = 0.0
    seconds: float = 1.0
    record: Mapping[str, Any] | None = None
    returned: Any = None


class Rows:
    """Write rows of one database."""

    def __init__(self, postgres: Postgres) -> None:
        self.query = postgres.query

    def run(
        self,
        dag_id: str,
        run_id: str,
        *,
        began: datetime,
        state: str,
        seconds: float = 60,
        kind: str = "manual",
        conf: Mapping[str, Any] | None = None,
        logical: datetime | None = None,
    ) -> Run:
        """Write a run without its instances.

        :param logical: the begin of its day, for a scheduled one.
        """
        logical = logical or began
        ended = None if state in {"queued", "running"} else began + timedelta(seconds=seconds)
        values = {
            "dag_id": dag_id,
            "run_id": run_id,
            "state": state,
            "run_type": kind,
            "queued_at": began,
            "start_date": began,
            "end_date": ended,
            "data_interval_start": logical,
            "data_interval_end": logical + timedelta(days=1) if kind == "scheduled" else logical,
            "updated_at": ended or began,
            "clear_number": 0,
        }
        if AIRFLOW_3:
            values |= {
                "logical_date": logical,
                "run_after": began,
                "conf": Json(conf or {}),
                "triggered_by": "TIMETABLE" if kind == "scheduled" else "UI",
                "span_status": "not_started",
            }
            computed = {
                "created_dag_version_id": "(SELECT id FROM dag_version WHERE dag_id = %(dag_id)s"
                " ORDER BY version_number DESC LIMIT 1)"
            }
        else:
            values |= {
                "execution_date": logical,
                "conf": pickle.dumps(dict(conf or {})),
                "external_trigger": kind == "manual",
            }
            computed = {"dag_hash": "(SELECT dag_hash FROM serialized_dag WHERE dag_id = %(dag_id)s)"}
        computed["log_template_id"] = "(SELECT max(id) FROM log_template)"
        (row,) = self.query(
            f"INSERT INTO dag_run ({', '.join([*values, *computed])})"
            f" VALUES ({', '.join([*(f'%({name})s' for name in values), *computed.values()])}) RETURNING id",
            values,
        )
        return Run(dag_id, run_id, row["id"], began)

    def task(
        self,
        run: Run,
        task_id: str,
        *,
        state: str,
        after: float = 0.0,
        returned: Any = None,
        length: int | None = None,
    ) -> None:
        """Write an instance that isn't mapped.

        :param length: how many pieces it makes, if something maps over what it returns.
        """
        tries = int(state in {"success", "failed", "running"})
        self._instances(run, task_id, [-1], [Instance(state, "", tries, after, returned=returned)])
        if length is not None:
            self.query(
                "INSERT INTO task_map (dag_id, task_id, run_id, map_index, length) VALUES (%s, %s, %s, -1, %s)",
                [run.dag_id, task_id, run.run_id, length],
            )

    def mapped(self, run: Run, task_id: str, instances: Sequence[Instance]) -> None:
        """Write all instances of a mapped task, by map index."""
        self._instances(run, task_id, range(len(instances)), instances)

    def pushed(self, run: Run, task_id: str, key: str, value: Any) -> None:
        """Write what a task that isn't mapped has pushed beside what it returned."""
        self._xcoms(run, task_id, key, [(-1, value)], datetime.now(timezone.utc))

    def _instances(
        self, run: Run, task_id: str, indexes: Sequence[int], instances: Sequence[Instance]
    ) -> None:
        began = [None if one.after is None else run.began + timedelta(seconds=one.after) for one in instances]
        ended = [
            start + timedelta(seconds=one.seconds) if start and one.state not in UNFINISHED else None
            for start, one in zip(began, instances, strict=True)
        ]
        now = datetime.now(timezone.utc)
        columns = {
            "map_index": ("integer", list(indexes)),
            "state": ("text", [one.state for one in instances]),
            "rendered_map_index": ("text", [one.label or None for one in instances]),
            "try_number": ("integer", [one.tries for one in instances]),
            "max_tries": ("integer", [max(0, one.tries - 1) for one in instances]),
            "start_date": ("timestamptz", began),
            "end_date": ("timestamptz", ended),
            "duration": (
                "float",
                [one.seconds if end else None for one, end in zip(instances, ended, strict=True)],
            ),
            "updated_at": ("timestamptz", [end or now for end in ended]),
        }
        same = {
            "dag_id": run.dag_id,
            "run_id": run.run_id,
            "task_id": task_id,
            "task_display_name": task_id,
            "pool": "default_pool",
            "pool_slots": 1,
            "queue": "default",
            "priority_weight": 1,
            "operator": "_PythonDecoratedOperator",
            "executor_config": EMPTY,
            "hostname": "localhost",
        }
        computed = {}
        if AIRFLOW_3:
            same["span_status"] = "not_started"
            computed = {
                "id": "gen_random_uuid()",
                "dag_version_id": "(SELECT created_dag_version_id FROM dag_run WHERE id = %(number)s)",
            }
        self.query(
            f"INSERT INTO task_instance ({', '.join([*columns, *same, *computed])})"
            f" SELECT {', '.join([*columns, *(f'%({name})s' for name in same), *computed.values()])}"
            f" FROM unnest({', '.join(f'%({name})s::{kind}[]' for name, (kind, _) in columns.items())})"
            f" AS made ({', '.join(columns)})",
            {**same, "number": run.number, **{name: values for name, (_, values) in columns.items()}},
        )
        pairs = list(zip(indexes, instances, strict=True))
        self._xcoms(run, task_id, "return_value", [(at, one.returned) for at, one in pairs], now)
        records = [
            (at, one.record and {**one.record, **({"map_index": at} if AIRFLOW_3 else {})})
            for at, one in pairs
        ]
        self._xcoms(run, task_id, "mapping_kit", records, now)

    def _xcoms(
        self, run: Run, task_id: str, key: str, values: Sequence[tuple[int, Any]], now: datetime
    ) -> None:
        kept = [(index, json.dumps(value)) for index, value in values if value is not None]
        if not kept:
            return
        stored = "value::jsonb" if AIRFLOW_3 else "convert_to(value, 'UTF8')"
        self.query(
            "INSERT INTO xcom (dag_run_id, task_id, map_index, key, dag_id, run_id, value, timestamp)"
            f" SELECT %s, %s, map_index, %s, %s, %s, {stored}, %s"
            " FROM unnest(%s::integer[], %s::text[]) AS made (map_index, value)",
            [
                run.number,
                task_id,
                key,
                run.dag_id,
                run.run_id,
                min(now, run.began + timedelta(seconds=1)),
                [index for index, _ in kept],
                [value for _, value in kept],
            ],
        )


UNFINISHED = frozenset({None, "scheduled", "queued", "running", "up_for_retry", "deferred"})
