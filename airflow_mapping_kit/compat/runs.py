"""Which moment and which interval a run stands for, and the params that it gets."""

from __future__ import annotations

import copy
import datetime
from contextlib import suppress
from importlib import import_module
from typing import TYPE_CHECKING, Any, NamedTuple

from airflow_mapping_kit.compat.database import own_session
from airflow_mapping_kit.compat.names import AIRFLOW_3, timezone

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping


# How often a run is made again that has got the date of another.
_ATTEMPTS = 10


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


def manual_interval(dag: Any, date: datetime.datetime) -> Any:
    """Return the data interval of a run of a declared DAG that somebody triggers."""
    return _timetable(dag).infer_manual_data_interval(run_after=date)


def scheduled_interval(dag: Any, date: datetime.datetime) -> Any:
    """Return the data interval of the scheduled run of a declared DAG that a date stands for.

    On Airflow 3 a cron expression has, unless `[scheduler] create_cron_data_intervals` says so, empty ones.
    """
    if not AIRFLOW_3:
        with suppress(ValueError):  # of all that is neither a cron expression nor a timedelta
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


def trigger(
    dag_id: str, run_id: str, conf: Mapping[str, Any], *, user: str, until: datetime.datetime | None = None
) -> bool:
    """Start a run of a DAG, as a person does in Airflow's web UI.

    :param user: who does, by name.
    :param until: the end of the DAG: a run of a later date succeeds at once, with no instance.
    :return: whether it was started: not where the DAG has a run of this id.
    :raises Exception: Airflow's, if it refuses.
    """
    from airflow.api.common.trigger_dag import trigger_dag
    from airflow.exceptions import DagRunAlreadyExists
    from sqlalchemy.exc import IntegrityError

    for attempt in range(_ATTEMPTS):
        # No two runs of a DAG have the same date: each gets the microsecond in which it is made.
        now = timezone.utcnow()
        moment = (
            now if until is None or now <= until else until - datetime.timedelta(microseconds=now.microsecond)
        )
        arguments: dict[str, Any] = {"run_id": run_id, "conf": dict(conf), "replace_microseconds": False}
        if not TYPE_CHECKING and AIRFLOW_3:
            from airflow.utils.types import DagRunTriggeredByType

            arguments |= {
                "logical_date": moment,
                "triggered_by": DagRunTriggeredByType.UI,
                "triggering_user_name": user,
            }
        else:
            arguments["execution_date"] = moment
        try:
            trigger_dag(dag_id, **arguments)
        except (DagRunAlreadyExists, IntegrityError):
            # Two who do it in the same moment both find none.
            if _has_run(dag_id, run_id):
                return False
            if attempt == _ATTEMPTS - 1:
                raise
        else:
            return True
    return False


def trigger_like(dag_id: str, run_id: str, other: str, conf: Mapping[str, Any], *, user: str) -> bool:
    """Start a run of a DAG that stands for the same time as another run of it.

    It has the same data interval, and of the other's logical date the next microsecond that no run has: all that a
    task makes of its dates comes out the same.

    :param other: the id of the other run.
    :param user: who does, by name.
    :return: whether it was started: not where the DAG has a run of this id.
    :raises Exception: Airflow's, if it refuses.
    """
    from sqlalchemy.exc import IntegrityError

    for attempt in range(_ATTEMPTS):
        if _has_run(dag_id, run_id):
            return False
        try:
            with own_session() as session:
                _create_like(dag_id, run_id, other, dict(conf), user, session)
        except IntegrityError:
            # Another took the date, or the id, in the same moment.
            if attempt == _ATTEMPTS - 1:
                raise
        else:
            return True
    return False


def _create_like(dag_id: str, run_id: str, other: str, conf: dict[str, Any], user: str, session: Any) -> None:
    from airflow.models.dagrun import DagRun
    from airflow.utils.state import DagRunState
    from airflow.utils.types import DagRunType
    from sqlalchemy import select

    column: Any = DagRun.logical_date if AIRFLOW_3 else DagRun.execution_date
    like = session.scalar(select(DagRun).where(DagRun.dag_id == dag_id, DagRun.run_id == other))
    moment = like.logical_date
    while moment is not None and session.scalar(
        select(DagRun.id).where(DagRun.dag_id == dag_id, column == moment)
    ):
        moment += datetime.timedelta(microseconds=1)
    made: dict[str, Any] = {"run_id": run_id, "conf": conf, "state": DagRunState.QUEUED, "session": session}
    begin, end = like.data_interval_start, like.data_interval_end
    made |= {"run_type": DagRunType.MANUAL, "data_interval": (begin, end) if begin and end else None}
    if not TYPE_CHECKING and AIRFLOW_3:
        from airflow.models.dagbag import DBDagBag
        from airflow.utils.types import DagRunTriggeredByType

        dag = DBDagBag().get_latest_version_of_dag(dag_id, session=session)
        dag.create_dagrun(
            **made,
            logical_date=moment,
            run_after=timezone.utcnow(),
            triggered_by=DagRunTriggeredByType.UI,
            triggering_user_name=user,
            partition_key=like.partition_key,
            partition_date=like.partition_date,
        )
        return
    from airflow.models.dagbag import DagBag

    bag = DagBag(read_dags_from_db=True)
    dag = bag.get_dag(dag_id, session=session)
    made["data_interval"] = dag.get_run_data_interval(like)
    dag.create_dagrun(
        **made, execution_date=moment, external_trigger=True, dag_hash=bag.dags_hash.get(dag_id)
    )


def _has_run(dag_id: str, run_id: str) -> bool:
    from airflow.models.dagrun import DagRun
    from sqlalchemy import select

    with own_session() as session:
        query = select(DagRun.id).where(DagRun.dag_id == dag_id, DagRun.run_id == run_id)
        return session.scalar(query) is not None


class Condition(NamedTuple):
    """Whether runs of a DAG begin and go on.

    :param known: whether Airflow has it, and its file as well.
    :param paused: whether somebody has paused it.
    :param broken: whether its file can't be imported.
    """

    known: bool
    paused: bool
    broken: bool


def condition_of(dag_id: str) -> Condition:
    """Return in which condition a DAG is."""
    from airflow.models.dag import DagModel

    with own_session() as session:
        row = session.get(DagModel, dag_id)
        if row is None:
            return Condition(known=False, paused=False, broken=False)
        known = not row.is_stale if AIRFLOW_3 else row.is_active
        return Condition(bool(known), bool(row.is_paused), bool(row.has_import_errors))


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

    given = dict(conf) if conf and settings.getboolean("core", "dag_run_conf_overrides_params") else {}
    try:
        if AIRFLOW_3 and not isinstance(dag.params, ParamsDict):  # those of a serialized DAG
            return dict(dag.params.deep_merge(given).validate())
        # An update changes the params themselves.
        params = copy.deepcopy(ParamsDict(dag.params))
        params.update(given)
        return dict(params.validate())
    except ParamValidationError as error:
        raise ValueError((str(error).splitlines() or ["?"])[0]) from error


def overdue(
    dag: Any, row: Any, now: datetime.datetime, *, most: int
) -> tuple[datetime.datetime, datetime.datetime] | None:
    """Return the interval that runs stand for which a schedule should have made by now, `None` if none is late.

    :param dag: the DAG, declared or as the scheduler has it.
    :param row: the scheduler's row of it, which has the next run that it is to make.
    :param most: how many runs are looked at: of a schedule that is behind by more the interval ends about now.
    """
    from airflow.timetables.base import DataInterval, TimeRestriction

    due = row.next_dagrun_create_after
    if due is None or due > now:
        return None
    begin, end = row.next_dagrun_data_interval_start, row.next_dagrun_data_interval_end
    timetable = _timetable(dag)
    if begin is None or end is None:
        begin = end = due
    last = DataInterval(timezone.coerce_datetime(begin), timezone.coerce_datetime(end))
    if begin == end:
        # Its run stands for the time since the schedule was due last.
        begin = _last_due(timetable, end) or end
    first, latest = (timezone.coerce_datetime(moment) for moment in (dag.start_date, dag.end_date))
    restriction = TimeRestriction(first, latest, catchup=True)
    for _ in range(most):
        info = timetable.next_dagrun_info(last_automated_data_interval=last, restriction=restriction)
        if info is None or info.run_after > now or info.data_interval is None:
            return begin, last.end
        last = info.data_interval
    return begin, now


def run_date(context: Mapping[str, Any]) -> datetime.datetime:
    """Return the moment a run stands for: its logical date.

    A run of Airflow 3 may have none (triggered by hand or by an asset): then it is when it was due.
    """
    dag_run: Any = context["dag_run"]
    moment: datetime.datetime = dag_run.logical_date or dag_run.run_after
    return moment


# Started by a person, by a task of another DAG, for a partition of an asset: Airflow 2 calls all of them manual.
_BY_HAND = ("manual", "operator_triggered", "asset_materialization")
_BY_SCHEDULE = ("scheduled", "backfill")

# How far back a schedule is asked when it was due last: the rarest cron, of a 29 February, misses eight years.
# The microsecond tells a schedule that counts from where it is asked, as a timedelta does.
_FARTHER = [datetime.timedelta(hours=8**power, microseconds=1) for power in range(7)]


def run_interval(context: Mapping[str, Any]) -> tuple[datetime.datetime, datetime.datetime] | None:
    """Return the interval that the run of a task stands for, `None` if it has none of its own.

    It is the run's data interval. Many schedules give their runs an empty one: on Airflow 3 cron expressions and
    timedeltas, everywhere `CronTriggerTimetable` and events. Theirs is the time since the schedule was last due,
    as `schedule="@daily"` has it on Airflow 2.
    """
    begin, end = context.get("data_interval_start"), context.get("data_interval_end")
    run = context["dag_run"]
    if run.run_type in _BY_HAND:
        return None
    if begin is not None and end is not None and begin < end:
        return begin, end
    if run.run_type not in _BY_SCHEDULE:
        return None
    timetable = _timetable(context["dag"])
    moment = end or _due_for_partition(context, timetable) or run.run_after
    due = _last_due(timetable, moment)
    return None if due is None else (due, moment)


def first_begin(context: Mapping[str, Any]) -> datetime.datetime | None:
    """Return from when on periods end that a scheduled run of a DAG can load: where the interval of its first begins.

    `None` if the DAG has no start.
    """
    start: datetime.datetime | None = context["task"].start_date or context["dag"].start_date
    timetable = _timetable(context["dag"])
    if start is None or not timetable.periodic:
        return start
    from airflow.timetables.base import TimeRestriction

    moment = timezone.coerce_datetime(start)
    restriction = TimeRestriction(earliest=moment, latest=None, catchup=True)
    info = timetable.next_dagrun_info(last_automated_data_interval=None, restriction=restriction)
    if info is None:
        return start
    interval = info.data_interval
    if interval is not None and interval.start < interval.end:
        begin: datetime.datetime = interval.start
        return begin
    return _last_due(timetable, interval.end if interval else info.run_after) or start


def _due_for_partition(context: Mapping[str, Any], timetable: Any) -> datetime.datetime | None:
    """Return when the run for a partition is due by schedule: a backfill calls it due at the partition's own date."""
    due = context.get("partition_date")
    offset = getattr(context["dag"].timetable, "run_offset", None) or 0
    for _ in range(abs(offset)):
        if due is not None:
            due = _last_due(timetable, due) if offset > 0 else _next_due(timetable, due, due)
    return due


def _last_due(timetable: Any, moment: datetime.datetime) -> datetime.datetime | None:
    """Return when a schedule was due before a moment at which it is due, `None` if it never was.

    Airflow asks timetables only forward. So it is asked from an earlier moment on, and from a yet earlier one
    where it was not due in between.
    """
    if not timetable.periodic:  # such as @once: it is due whenever it is asked
        return None
    moment = timezone.coerce_datetime(moment)
    for farther in _FARTHER:
        asked, last = moment - farther, None
        due = _next_due(timetable, None, asked)
        if due == asked:
            return _stepped_back(timetable, moment)
        while due is not None and due < moment and (last is None or due > last):
            last, due = due, _next_due(timetable, due, asked)
        if last is not None:
            return last
    return None


def _stepped_back(timetable: Any, moment: datetime.datetime) -> datetime.datetime:
    """Return the moment after which a schedule that counts from its last run is due at a moment.

    The first of them where there are several: a month after 28 to 31 January is the end of February. Rather is a
    day loaded twice than never.
    """
    before, due = moment, _next_due(timetable, moment, moment)
    # A month back and forth again can be another day: a few times, until it is the same.
    for _ in range(4):
        if due is None or due == moment:
            break
        before += moment - due
        due = _next_due(timetable, before, before)
    day = datetime.timedelta(days=1)
    while due == moment and _next_due(timetable, before - day, before - day) == moment:
        before -= day
    return before


def _next_due(
    timetable: Any, last: datetime.datetime | None, earliest: datetime.datetime
) -> datetime.datetime | None:
    from airflow.timetables.base import DataInterval, TimeRestriction

    info = timetable.next_dagrun_info(
        last_automated_data_interval=last and DataInterval.exact(timezone.coerce_datetime(last)),
        restriction=TimeRestriction(timezone.coerce_datetime(earliest), latest=None, catchup=True),
    )
    if info is None:
        return None
    due: datetime.datetime = info.data_interval.end if info.data_interval else info.run_after
    return due
