"""A run that does not exist: as much of a context as generators and templates need to say what it would do."""

from __future__ import annotations

from dataclasses import dataclass
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

from airflow_mapping_kit.cli.failures import Failure
from airflow_mapping_kit.compat import (
    has_schedule,
    manual_interval,
    scheduled_interval,
    template_macros,
    timezone,
    validated_params,
)

if TYPE_CHECKING:
    from datetime import datetime

MANUAL = "manual"
SCHEDULED = "scheduled"


@dataclass(frozen=True)
class Imagined:
    """A run that somebody thinks of.

    :param params: the DAG's params with the conf of the run, as tasks would get them.
    :param context: what templates and generators ask: no database is behind it.
    """

    run_type: str
    logical_date: datetime
    params: dict[str, Any]
    context: dict[str, Any]

    def __str__(self) -> str:
        """Say which run it is."""
        date = self.logical_date.isoformat(timespec="seconds")
        if self.run_type == MANUAL:
            return f"triggered by hand, logical date {date}"
        end = self.context["data_interval_end"].isoformat(timespec="seconds")
        return f"the scheduled run of {date} to {end}"


def imagined_run(dag: Any, conf: dict[str, Any] | None, logical_date: datetime | None) -> Imagined:
    """Return the run that a DAG would have.

    :param conf: what a person would trigger it with.
    :param logical_date: without a conf that of a scheduled run, if the DAG has a schedule. Default: now.
    :raises Failure: if the DAG's params refuse the conf.
    """
    run_type = SCHEDULED if logical_date is not None and conf is None and has_schedule(dag) else MANUAL
    # As `airflow dags trigger` has it.
    date = timezone.coerce_datetime(logical_date or timezone.utcnow())
    interval = scheduled_interval(dag, date) if run_type == SCHEDULED else manual_interval(dag, date)
    try:
        params = validated_params(dag, conf)
    except ValueError as error:
        raise Failure(f"The params of {dag.dag_id} refuse this run: {error}") from None
    # As Airflow names runs, where a timetable of its author's doesn't.
    run_id = f"{run_type}__{date.isoformat()}"
    dag_run = SimpleNamespace(
        dag_id=dag.dag_id,
        run_id=run_id,
        run_type=run_type,
        conf=conf or {},
        logical_date=date,
        execution_date=date,
        data_interval_start=interval.start,
        data_interval_end=interval.end,
        run_after=date,
        external_trigger=run_type == MANUAL,
    )
    ds, ts = date.strftime("%Y-%m-%d"), date.isoformat()
    return Imagined(
        run_type,
        date,
        params,
        {
            "dag": dag,
            "dag_run": dag_run,
            "data_interval_start": interval.start,
            "data_interval_end": interval.end,
            "ds": ds,
            "ds_nodash": ds.replace("-", ""),
            "logical_date": date,
            "macros": template_macros(),
            "params": params,
            "run_id": run_id,
            "ts": ts,
            "ts_nodash": date.strftime("%Y%m%dT%H%M%S"),
            "ts_nodash_with_tz": ts.replace("-", "").replace(":", ""),
        },
    )
