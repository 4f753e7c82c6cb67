"""Which moment and which interval a run stands for, and the params that it gets."""

from __future__ import annotations

import copy
from importlib import import_module
from typing import TYPE_CHECKING, Any

from airflow_mapping_kit.compat.names import AIRFLOW_3, timezone

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from datetime import datetime


def refused_run_id(run_ids: Iterable[str]) -> tuple[str, str] | None:
    """Return the first of some run ids that the deployment does not allow, and the pattern that it allows.

    Airflow checks it where a run is made, that of 2 by another library.
    """
    from airflow.configuration import conf

    matches = import_module("re" if AIRFLOW_3 else "re2").match
    pattern = conf.get("scheduler", "allowed_run_id_pattern").strip()
    return next(((one, pattern) for one in run_ids if not pattern or not matches(pattern, one)), None)


def has_schedule(dag: Any) -> bool:
    """Tell whether a DAG has runs by a schedule of times, not only by hand or by what others produce."""
    return bool(_timetable(dag).periodic)


def manual_interval(dag: Any, date: datetime) -> Any:
    """Return the data interval of a run of a declared DAG that somebody triggers."""
    return _timetable(dag).infer_manual_data_interval(run_after=date)


def scheduled_interval(dag: Any, date: datetime) -> Any:
    """Return the data interval of the scheduled run of a declared DAG that a date stands for.

    On Airflow 3 a cron expression has, unless `[scheduler] create_cron_data_intervals` says so, empty ones.
    """
    if not AIRFLOW_3:
        return dag.infer_automated_data_interval(date)
    from airflow.timetables.base import DataInterval, TimeRestriction

    # There is no other way to ask every timetable: the first run from this date on.
    moment = timezone.coerce_datetime(date)
    restriction = TimeRestriction(earliest=moment, latest=None, catchup=True)
    info = _timetable(dag).next_dagrun_info(last_automated_data_interval=None, restriction=restriction)
    return (info and info.data_interval) or DataInterval.exact(moment)


def _timetable(dag: Any) -> Any:
    """Return the timetable of a declared DAG as the scheduler has it: Airflow 3's own only describe a schedule."""
    if AIRFLOW_3:
        from airflow.serialization.encoders import coerce_to_core_timetable

        return coerce_to_core_timetable(dag.timetable)
    return dag.timetable


def validated_params(dag: Any, conf: Mapping[str, Any] | None) -> dict[str, Any]:
    """Return the params that the tasks of a run would get.

    :param conf: what the run is triggered with.
    :raises ValueError: if a param has no value, or one that it refuses.
    """
    from airflow.configuration import conf as settings

    if AIRFLOW_3:
        from airflow.sdk.definitions.param import ParamsDict
        from airflow.sdk.exceptions import ParamValidationError
    else:
        from airflow.exceptions import ParamValidationError
        from airflow.models.param import ParamsDict

    # An update changes the params themselves.
    params = copy.deepcopy(ParamsDict(dag.params))
    try:
        if conf and settings.getboolean("core", "dag_run_conf_overrides_params"):
            params.update(dict(conf))
        return dict(params.validate())
    except ParamValidationError as error:
        raise ValueError((str(error).splitlines() or ["?"])[0]) from error


def run_date(context: Mapping[str, Any]) -> datetime:
    """Return the moment a run stands for: its logical date.

    A run of Airflow 3 may have none (triggered by hand or by an asset): then it is when it was due.
    """
    dag_run: Any = context["dag_run"]
    moment: datetime = dag_run.logical_date or dag_run.run_after
    return moment


# Started by a person, by a task of another DAG, for a partition of an asset: Airflow 2 calls all of them manual.
_BY_HAND = ("manual", "operator_triggered", "asset_materialization")


def run_interval(context: Mapping[str, Any]) -> tuple[datetime, datetime] | None:
    """Return the interval that the run of a task stands for, `None` if it has none of its own.

    The runs of a cron expression or a timedelta have empty intervals on Airflow 3, unless `[scheduler]
    create_cron_data_intervals` says otherwise: theirs is the time since the schedule was last due, as on Airflow 2.
    """
    begin, end = context.get("data_interval_start"), context.get("data_interval_end")
    if context["dag_run"].run_type in _BY_HAND or begin is None or end is None:
        return None
    if begin < end:
        return begin, end
    return _since_last_due(context["dag"].timetable, end) if AIRFLOW_3 else None


def _since_last_due(timetable: Any, moment: datetime) -> tuple[datetime, datetime] | None:
    from airflow.sdk import CronTriggerTimetable, DeltaTriggerTimetable

    if isinstance(timetable, DeltaTriggerTimetable):
        return moment - timetable.delta, moment
    if not isinstance(timetable, CronTriggerTimetable):
        return None
    from airflow.timetables.interval import CronDataIntervalTimetable

    # What `schedule="@daily"` stands for on Airflow 2.
    whole: Any = CronDataIntervalTimetable(timetable.expression, timezone=timetable.timezone)
    interval = whole.infer_manual_data_interval(run_after=moment)
    return interval.start, interval.end
