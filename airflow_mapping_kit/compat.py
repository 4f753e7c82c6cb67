"""The one place that knows which Airflow this is: what moved, and what behaves differently.

Everything else imports Airflow's building blocks from here, so that a version is one file's concern.
"""

from __future__ import annotations

import copy
import json
import logging
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, cast

import airflow
from airflow.triggers.base import BaseTrigger, TriggerEvent

from airflow_mapping_kit.exceptions import MappingKitError

AIRFLOW_3 = not airflow.__version__.startswith("2.")

if TYPE_CHECKING or not AIRFLOW_3:
    from airflow import DAG
    from airflow.datasets import Dataset as Asset
    from airflow.decorators import dag, task, task_group
    from airflow.decorators.base import DecoratedOperator, TaskDecorator, task_decorator_factory
    from airflow.decorators.base import _TaskDecorator as DecoratedTask
    from airflow.exceptions import AirflowException, AirflowFailException, AirflowSkipException
    from airflow.hooks.base import BaseHook
    from airflow.models.baseoperator import BaseOperator
    from airflow.models.mappedoperator import MappedOperator
    from airflow.models.param import Param
    from airflow.models.xcom_arg import XComArg
    from airflow.operators.python import get_current_context
    from airflow.utils import timezone
    from airflow.utils.context import KNOWN_CONTEXT_KEYS, context_merge
    from airflow.utils.operator_helpers import determine_kwargs
    from airflow.utils.task_group import TaskGroup
else:
    # Airflow 3 moved what a DAG author touches into the Task SDK; the 2.x paths warn or are gone.
    from airflow.sdk import (
        DAG,
        Asset,
        BaseHook,
        BaseOperator,
        Param,
        TaskGroup,
        XComArg,
        dag,
        get_current_context,
        task,
        task_group,
        timezone,
    )
    from airflow.sdk.bases.decorator import (
        DecoratedOperator,
        TaskDecorator,
        determine_kwargs,
        task_decorator_factory,
    )
    from airflow.sdk.bases.decorator import _TaskDecorator as DecoratedTask
    from airflow.sdk.definitions.context import KNOWN_CONTEXT_KEYS, context_merge
    from airflow.sdk.definitions.mappedoperator import MappedOperator
    from airflow.sdk.exceptions import AirflowException, AirflowFailException, AirflowSkipException

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from datetime import datetime

    from airflow.io.path import ObjectStoragePath
    from airflow.utils.context import Context

_XCOM_KINDS: dict[str, Literal["plain", "map", "zip", "concat"]] = {
    "PlainXComArg": "plain",
    "MapXComArg": "map",
    "ZipXComArg": "zip",
    "ConcatXComArg": "concat",
}
_CLEARED_AT_ONCE = 500

__all__ = [
    "AIRFLOW_3",
    "DAG",
    "KNOWN_CONTEXT_KEYS",
    "AirflowException",
    "AirflowFailException",
    "AirflowSkipException",
    "Asset",
    "BaseHook",
    "BaseOperator",
    "BaseTrigger",
    "DagFolder",
    "DecoratedOperator",
    "DecoratedTask",
    "MappedOperator",
    "Param",
    "TaskDecorator",
    "TaskGroup",
    "TriggerEvent",
    "XComArg",
    "add_partitions",
    "added_partitions",
    "bad_input_fails_at_once",
    "clear_instances",
    "context_merge",
    "custom_xcom_backend",
    "dag",
    "dag_file",
    "dag_folders",
    "determine_kwargs",
    "expand_input_of",
    "from_xcom_json",
    "get_current_context",
    "group_argument_of",
    "has_schedule",
    "has_state_store",
    "is_mapped",
    "is_mapped_operator",
    "label_of",
    "manual_interval",
    "own_session",
    "read_dags",
    "resolve_expand_input",
    "run_date",
    "run_interval",
    "run_order",
    "running_in",
    "scheduled_interval",
    "set_label",
    "storage_path",
    "takes_partitions",
    "task",
    "task_decorator_factory",
    "task_group",
    "template_macros",
    "timezone",
    "triggering_events",
    "validated_params",
    "without_logs",
    "xcom_json",
    "xcom_kind",
    "xcom_model",
    "xcom_value",
]


def add_partitions(event: Any, keys: Sequence[str]) -> None:
    """Give the event of an outlet the keys of partitions.

    :param event: what `outlet_events` of a context has for an asset, where `takes_partitions`.
    """
    event.add_partitions(list(keys))
    # An event with a key starts no run of a DAG that is scheduled on the asset as a whole, as all are from before
    # 3.3: that takes one without.
    if not isinstance(event.partition_keys, _AndTheWhole):
        event.partition_keys = _AndTheWhole(event.partition_keys)


def added_partitions(event: Any) -> set[str]:
    """Return the keys of partitions that the event of an outlet was given."""
    return {key for key in getattr(event, "partition_keys", ()) if key is not None}


def takes_partitions(event: Any) -> bool:
    """Tell whether the event of an outlet takes the keys of partitions: since Airflow 3.3."""
    return hasattr(event, "add_partitions")


class _AndTheWhole(set[Any]):
    """Partition keys, and at last none of them: Airflow emits an event for each.

    At last, for the run that it starts takes in what is older.
    """

    def __iter__(self) -> Iterator[Any]:
        yield from super().__iter__()
        yield None


@contextmanager
def bad_input_fails_at_once() -> Iterator[None]:
    """Fail the task without retries on an error that the same input would raise again.

    :raises AirflowFailException: in place of any `MappingKitError` raised inside, with its text.
    """
    try:
        yield
    except MappingKitError as error:
        raise AirflowFailException(str(error)) from error


def clear_instances(instances: Sequence[Any], session: Any, dag: Any) -> None:
    """Have instances run again, and their runs go on, in the transaction of a session.

    :param instances: rows of the session.
    :param dag: their DAG, as it is declared.
    """
    from airflow.models.taskinstance import clear_task_instances

    if AIRFLOW_3:
        # A run has a version of its DAG there: which one it goes on with is said as for Airflow's own API.
        from airflow.configuration import conf

        latest = getattr(dag, "rerun_with_latest_version", None)
        if latest is None:
            latest = conf.getboolean("core", "rerun_with_latest_version", fallback=False)
        clear: Any = clear_task_instances
        clear(list(instances), session, run_on_latest_version=bool(latest))
        return
    # Airflow 2 puts every instance into one expression, and databases limit how deep one may be: SQLite at 1,000.
    for start in range(0, len(instances), _CLEARED_AT_ONCE):
        clear_task_instances(list(instances[start : start + _CLEARED_AT_ONCE]), session, dag=dag)


def custom_xcom_backend() -> bool:
    """Tell whether XComs are kept by a backend of the deployment's own."""
    if AIRFLOW_3:
        from airflow.sdk import BaseXCom
        from airflow.sdk.execution_time.xcom import XCom
    else:
        from airflow.models.xcom import BaseXCom, XCom
    return XCom is not BaseXCom


class DagFolder(NamedTuple):
    """A folder of DAG files.

    :param bundle: the bundle that it is, whose name Airflow 3 keeps with every DAG; `None` on Airflow 2.
    """

    path: Path
    bundle: Any = None


def dag_file(dag_id: str, folders: Sequence[DagFolder], session: Any) -> tuple[DagFolder, Path] | None:
    """Return which file of which folder a DAG was last read from, `None` where none of them has it.

    :param session: a session of the metadata database.
    """
    from airflow.models.dag import DagModel
    from sqlalchemy import select

    if not AIRFLOW_3:
        path = session.scalar(select(DagModel.fileloc).where(DagModel.dag_id == dag_id))
        return (folders[0], Path(path)) if path and Path(path).is_file() else None
    # A bundle may lie elsewhere where the DAG processor runs: the path within it is the same.
    columns = select(DagModel.bundle_name, DagModel.relative_fileloc).where(DagModel.dag_id == dag_id)
    bundle_name, relative = session.execute(columns).first() or (None, None)
    for folder in folders:
        if relative and folder.bundle.name == bundle_name and (folder.path / relative).is_file():
            return folder, folder.path / relative
    return None


def dag_folders() -> list[DagFolder]:
    """Return the folders that this Airflow has its DAG files in: on Airflow 3 those of all bundles."""
    if not AIRFLOW_3:
        from airflow import settings

        return [DagFolder(Path(settings.DAGS_FOLDER))]
    from airflow.dag_processing.bundles.manager import DagBundlesManager

    folders = []
    for bundle in DagBundlesManager().get_all_dag_bundles():
        bundle.initialize()
        folders.append(DagFolder(bundle.path, bundle))
    return folders


def read_dags(folder: DagFolder, file: Path | None = None) -> tuple[dict[str, Any], dict[str, str]]:
    """Read the DAGs of a folder, or those of one of its files, as they are declared.

    :return: the DAGs by id, and the errors of files that can't be imported by path.
    """
    bag: Any
    if AIRFLOW_3:
        from airflow.dag_processing.dagbag import BundleDagBag

        bag = BundleDagBag(file or folder.path, bundle_path=folder.path, bundle_name=folder.bundle.name)
    else:
        from airflow.models.dagbag import DagBag

        bag = DagBag(file or folder.path, include_examples=False, read_dags_from_db=False)
    # Airflow 3 names files by their path within the bundle.
    return bag.dags, {str(folder.path / path): error for path, error in bag.import_errors.items()}


def expand_input_of(operator: Any) -> Any | None:
    """Return what an operator, or else the mapped group around it, is mapped over.

    :param operator: an operator as its DAG keeps it, declared or serialized, not the unmapped one that a
        worker runs.
    :return: Airflow's expand input, or `None` where nothing is mapped.
    """
    if is_mapped_operator(operator):
        return operator._get_specified_expand_input()  # noqa: SLF001 -- Airflow has no public name for it
    group = next(iter(operator.iter_mapped_task_groups()), None)
    return group._expand_input if group else None  # noqa: SLF001 -- nor for this


def resolve_expand_input(expand_input: Any, context: Context) -> dict[str, Any]:
    """Return the mapped arguments of the running instance: `{argument: value}`, literals unrendered.

    :param expand_input: what `expand` or `expand_kwargs` stored on a mapped operator or group.
    """
    if AIRFLOW_3:
        # Tasks have no database on 3.x; the SDK asks the execution API.
        mapped, _ = expand_input.resolve(context)
    else:
        with own_session() as session:
            mapped, _ = expand_input.resolve(context, session)
    return dict(mapped)


@contextmanager
def own_session() -> Iterator[Any]:
    """Give a database session with a connection and a transaction of its own, committed at the end.

    Airflow's `create_session` gives the thread's only one, and closes it: called in the midst of Airflow's
    own work it takes that work's transaction and objects away.
    """
    from airflow import settings
    from sqlalchemy.orm import Session

    with Session(settings.engine) as session, session.begin():
        yield session


def group_argument_of(value: Any) -> str | None:
    """Return which argument of the mapped group around it a task takes, `None` if it is none of them."""
    if type(value).__name__.removeprefix("Scheduler") != "MappedArgument":
        return None
    name: str = value._key  # noqa: SLF001 -- Airflow has no public name for it
    return name


def has_schedule(dag: Any) -> bool:
    """Tell whether a DAG has runs by a schedule of times, not only by hand or by what others produce."""
    return bool(_timetable(dag).periodic)


def has_state_store() -> bool:
    """Tell whether instances have a store that outlives their tries: from Airflow 3.3 on."""
    return find_spec("airflow.state") is not None


def is_mapped(operator: Any) -> bool:
    """Tell whether an operator, or a group around it, is mapped, of a declared DAG or of a serialized one."""
    return is_mapped_operator(operator) or any(True for _ in operator.iter_mapped_task_groups())


def is_mapped_operator(operator: Any) -> bool:
    """Tell whether an operator itself is mapped, of a declared DAG or of a serialized one.

    Airflow 3 has another class for the operators of serialized DAGs; what makes it one is what all have.
    """
    return hasattr(operator, "partial_kwargs")


def label_of(instance: Any) -> str | None:
    """Return the label of an instance as a row of the database has it, `None` if it has none.

    Airflow 3.3 shows the number of one that has none, and keeps the label under another name.
    """
    label: str | None = getattr(instance, _label_column(instance))
    return label


def set_label(instance: Any, label: str | None) -> None:
    """Give an instance that becomes a row of the database its label."""
    setattr(instance, _label_column(instance), label)


def _label_column(instance: Any) -> str:
    return "_rendered_map_index" if hasattr(type(instance), "_rendered_map_index") else "rendered_map_index"


def manual_interval(dag: Any, date: datetime) -> Any:
    """Return the data interval of a run of a declared DAG that somebody triggers."""
    return _timetable(dag).infer_manual_data_interval(run_after=date)


@contextmanager
def running_in(context: Mapping[str, Any]) -> Iterator[None]:
    """Let `get_current_context` answer with a context, as within a task."""
    if AIRFLOW_3:
        from airflow.sdk.execution_time.context import set_current_context
    else:
        from airflow.models.taskinstance import set_current_context

    with set_current_context(cast("Context", context)):
        yield


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


def storage_path(path: str) -> ObjectStoragePath:
    """Return a file in object storage, or of this machine."""
    if not TYPE_CHECKING and AIRFLOW_3:
        from airflow.sdk import ObjectStoragePath
    else:
        from airflow.io.path import ObjectStoragePath
    return ObjectStoragePath(path)


def template_macros() -> Any:
    """Return what templates call `macros`, without those of plugins."""
    if AIRFLOW_3:
        from airflow.sdk.execution_time import macros
    else:
        from airflow import macros
    return macros


def triggering_events(context: Mapping[str, Any], asset: Any = None) -> list[Any]:
    """Return the events of assets that started a run.

    :param asset: of which asset alone.
    """
    by_asset = context["triggering_asset_events" if AIRFLOW_3 else "triggering_dataset_events"]
    if asset is None:
        return [event for events in by_asset.values() for event in events]
    # Airflow 2 has them by URI.
    return list(by_asset.get(asset if AIRFLOW_3 else asset.uri, ()))


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


@contextmanager
def without_logs() -> Iterator[None]:
    """Let Airflow log nothing in this process for a while."""
    before = logging.root.manager.disable
    logging.disable(logging.CRITICAL)
    if AIRFLOW_3:
        # It logs past the standard library.
        import structlog

        configured = structlog.get_config()
        structlog.configure(processors=[_dropped])
    try:
        yield
    finally:
        logging.disable(before)
        if AIRFLOW_3:
            structlog.configure(**configured)


def _dropped(*_: Any) -> Any:
    import structlog

    raise structlog.DropEvent


def xcom_kind(value: Any) -> Literal["plain", "map", "zip", "concat"] | None:
    """Return which kind of reference to XComs a mapped argument is, `None` if it is a literal.

    Airflow 3 has each class twice, once for the scheduler: `PlainXComArg` and `SchedulerPlainXComArg`.
    """
    return _XCOM_KINDS.get(type(value).__name__.removeprefix("Scheduler"))


def xcom_json(value: Any) -> str:
    """Return a value as the JSON text that an XCom holds of it.

    :raises Exception: of whatever kind, if an XCom cannot hold it.
    """
    if AIRFLOW_3:
        from airflow.sdk.serde import serialize

        # The API that a task hands its XComs to takes no NaN and no infinity.
        return json.dumps(serialize(value), allow_nan=False)
    from airflow.utils.json import XComEncoder

    return json.dumps(value, cls=XComEncoder)


def from_xcom_json(text: str) -> Any:
    """Return the value of which `xcom_json` made a text.

    :raises Exception: of whatever kind, if Airflow refuses to.
    """
    if AIRFLOW_3:
        from airflow.sdk.serde import deserialize

        return deserialize(json.loads(text))
    from airflow.utils.json import XComDecoder

    return json.loads(text, cls=XComDecoder)


def xcom_model() -> Any:
    """Return the model of the table that holds XComs."""
    from airflow.models import xcom

    return getattr(xcom, "XComModel" if AIRFLOW_3 else "XCom")


def xcom_value(row: Any) -> Any:
    """Return the value of a row of the table that holds XComs, through the deployment's backend.

    Airflow 3 has tasks write them, so only what tasks read them with knows their form.
    """
    if AIRFLOW_3:
        from airflow.sdk.execution_time.xcom import XCom
    else:
        from airflow.models.xcom import XCom
    return XCom.deserialize_value(row)


def run_date(context: Mapping[str, Any]) -> datetime:
    """Return the moment a run stands for: its logical date.

    A run of Airflow 3 may have none (triggered by hand or by an asset): then it is when it was due.
    """
    dag_run: Any = context["dag_run"]
    moment: datetime = dag_run.logical_date or dag_run.run_after
    return moment


def run_interval(context: Mapping[str, Any]) -> tuple[datetime, datetime] | None:
    """Return the interval that the run of a task stands for, `None` if it has none of its own.

    The runs of a cron expression or a timedelta have empty intervals on Airflow 3, unless `[scheduler]
    create_cron_data_intervals` says otherwise: theirs is the time since the schedule was last due, as on Airflow 2.
    """
    begin, end = context.get("data_interval_start"), context.get("data_interval_end")
    if context["dag_run"].run_type == "manual" or begin is None or end is None:
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


def run_order(columns: Any) -> tuple[Any, ...]:
    """Return what runs are ordered by so that the latest comes first.

    :param columns: the model of runs, or its table's columns.
    """
    # Airflow 3 has runs without a logical date.
    return (columns.run_after.desc() if AIRFLOW_3 else columns.execution_date.desc(), columns.id.desc())
