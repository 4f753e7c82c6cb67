"""Airflow's own names for the tests, from where the installed version keeps them, and runs of DAGs on any."""

from __future__ import annotations

import contextlib
import functools
import itertools
import json
import logging
import os
import uuid
from pathlib import Path

import pendulum
import pytest
from airflow import settings

# Airflow 3.3.2 cannot read back the one of its SDK.
from airflow.timetables.events import EventsTimetable
from airflow.utils.session import create_session
from airflow.utils.state import DagRunState
from airflow.utils.types import DagRunType
from sqlalchemy import event

from airflow_mapping_kit.compat import (
    AIRFLOW_3,
    AirflowException,
    AirflowFailException,
    AirflowSkipException,
    BaseOperator,
    Param,
    TaskGroup,
    get_current_context,
    task,
    task_group,
)

if AIRFLOW_3:
    from airflow.providers.standard.operators.empty import EmptyOperator
    from airflow.sdk import (
        DAG,
        AssetAlias,
        CronDataIntervalTimetable,
        CronTriggerTimetable,
        DeltaDataIntervalTimetable,
        DeltaTriggerTimetable,
        MultipleCronTriggerTimetable,
        dag,
        setup,
        teardown,
    )
    from airflow.sdk.exceptions import AirflowTaskTerminated, AirflowTaskTimeout, ParamValidationError
    from airflow.serialization.serialized_objects import DagSerialization as SerializedDAG
else:
    from airflow import DAG
    from airflow.datasets import DatasetAlias as AssetAlias
    from airflow.timetables import trigger
    from airflow.timetables.interval import CronDataIntervalTimetable, DeltaDataIntervalTimetable
    from airflow.timetables.trigger import CronTriggerTimetable

    # From 2.11 on.
    DeltaTriggerTimetable = getattr(trigger, "DeltaTriggerTimetable", None)
    MultipleCronTriggerTimetable = getattr(trigger, "MultipleCronTriggerTimetable", None)
    from airflow.decorators import dag, setup, teardown
    from airflow.exceptions import AirflowTaskTerminated, AirflowTaskTimeout, ParamValidationError
    from airflow.operators.empty import EmptyOperator
    from airflow.serialization.serialized_objects import SerializedDAG

__all__ = [
    "AIRFLOW_3",
    "DAG",
    "AirflowException",
    "AirflowFailException",
    "AirflowSkipException",
    "AirflowTaskTerminated",
    "AirflowTaskTimeout",
    "AssetAlias",
    "BaseOperator",
    "CronDataIntervalTimetable",
    "CronTriggerTimetable",
    "DagRunType",
    "DeltaDataIntervalTimetable",
    "DeltaTriggerTimetable",
    "EmptyOperator",
    "EventsTimetable",
    "MultipleCronTriggerTimetable",
    "Param",
    "ParamValidationError",
    "Run",
    "SerializedDAG",
    "TaskGroup",
    "clear",
    "create_session",
    "dag",
    "dag_test",
    "delete_xcom",
    "events_of",
    "get_current_context",
    "make_tables",
    "run_alone",
    "scheduler_dag",
    "setup",
    "store",
    "store_xcom",
    "supervised",
    "task",
    "task_group",
    "teardown",
    "xcom_of",
]

# The bundle that Airflow 3 has by default: a DAG belongs to one.
_BUNDLE = "dags-folder"


def make_tables():
    """Make Airflow's tables in the database of the tests' own Airflow home."""
    from airflow.utils import db

    logging.disable(logging.WARNING)
    with Path(os.devnull).open("w") as devnull, contextlib.redirect_stdout(devnull):
        db.initdb()
    logging.disable(logging.NOTSET)
    if AIRFLOW_3:
        _log_by_the_standard_library()


def _log_by_the_standard_library():
    """Have what tasks log arrive where `caplog` sees it: Airflow 3 logs by structlog, to the standard output."""
    import structlog

    def plain(_, __, said):
        error = said.pop("exc_info", None)
        text = str(said.pop("event", ""))
        return {
            "msg": " ".join([text, *(f"{name}={value}" for name, value in said.items())]),
            "exc_info": error,
        }

    structlog.configure(
        processors=[structlog.stdlib.PositionalArgumentsFormatter(), plain],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=False,
    )


def scheduler_dag(dag):
    """Return a DAG as the scheduler has it: as it comes back from the database, with its keys sorted.

    Airflow 2 sorts them where it compresses serialized DAGs, Airflow 3 always.
    """
    return SerializedDAG.from_dict(json.loads(json.dumps(SerializedDAG.to_dict(dag), sort_keys=True)))


@functools.cache
def _store_bundles():
    from airflow.dag_processing.bundles.manager import DagBundlesManager

    DagBundlesManager().sync_bundles_to_db()


def store(dag):
    """Store a DAG in the database as Airflow does when it has read the DAG's file."""
    if not AIRFLOW_3:
        dag.sync_to_db()
        return
    _store_bundles()
    from airflow.models.serialized_dag import SerializedDagModel
    from airflow.serialization.definitions.dag import SerializedDAG as Stored
    from airflow.serialization.serialized_objects import LazyDeserializedDAG

    with create_session() as session:
        Stored.bulk_write_to_db(_BUNDLE, None, [dag], session=session)
        SerializedDagModel.write_dag(LazyDeserializedDAG.from_dag(dag), bundle_name=_BUNDLE, session=session)


def dag_test(dag, **options):
    """Run a whole DAG in this process and return its run."""
    store(dag)
    if not AIRFLOW_3 and "logical_date" in options:
        options["execution_date"] = options.pop("logical_date")
    return dag.test(**options)


def give_away(dag, task_id, map_index=-1):
    """Have an instance go to another process, as the scheduler and another worker do."""
    from airflow.models import TaskInstance

    with create_session() as session:
        rows = session.query(TaskInstance).filter_by(dag_id=dag.dag_id, task_id=task_id, map_index=map_index)
        if AIRFLOW_3:
            row = rows.one()
            row.prepare_db_for_next_try(session)
            row.state = "up_for_retry"
        else:
            rows.update({"try_number": 2, "state": "running", "job_id": 8})


def run_alone(dag, instance):
    """Run one instance in this process, whatever its state; return what it raised, if it did."""
    operator = dag.get_task(instance.task_id)
    if not AIRFLOW_3:
        instance.refresh_from_task(operator)
        with create_session() as session:
            # As below: what the scheduler does.
            row = session.merge(instance)
            row.try_number += row.next_method is None
        try:
            instance.run(ignore_ti_state=True, ignore_all_deps=True)
        except Exception as error:  # noqa: BLE001 -- what it raised is what is asked for
            return error
        return None
    from airflow.sdk.api.datamodels._generated import TaskInstance
    from airflow.sdk.execution_time.supervisor import run_task_in_process

    from airflow_mapping_kit.compat import own_session

    # What the scheduler does before a worker gets an instance.
    table = type(instance)
    with own_session() as session:
        row = session.get(table, instance.id)
        # What goes on after it had waited is still in its try.
        row.try_number += row.next_method is None
        row.state = "queued"
        session.flush()
        wanted = {
            name: getattr(row, name)
            for name in ("id", "task_id", "dag_id", "run_id", "try_number", "map_index", "dag_version_id")
        }
    result = run_task_in_process(ti=TaskInstance(**wanted), task=operator)
    return result.error


@contextlib.contextmanager
def supervised(instance=None):
    """Let code ask Airflow as in the process of a task, or in a triggerer, of which this is none."""
    if not AIRFLOW_3:
        yield
        return
    import psutil
    import structlog
    from airflow.sdk.execution_time.supervisor import (
        InProcessSupervisorComms,
        InProcessTestSupervisor,
        set_supervisor_comms,
    )

    supervisor = InProcessTestSupervisor(
        id=instance.id if instance else uuid.uuid4(),
        pid=os.getpid(),
        process=psutil.Process(),
        process_log=structlog.get_logger(logger_name="task"),
        client=InProcessTestSupervisor._api_client(),
    )
    supervisor.comms = InProcessSupervisorComms(supervisor=supervisor)
    with set_supervisor_comms(supervisor.comms):
        yield


def clear(dag, instance):
    """Have an instance run again, as Airflow does when somebody clears it."""
    from airflow.models.taskinstance import clear_task_instances

    with create_session() as session:
        row = session.merge(instance)
        if AIRFLOW_3:
            clear_task_instances([row], session)
        else:
            clear_task_instances([row], session, dag=dag)


def xcom_of(run, task_id, *, map_index=-1, key="return_value"):
    """Return an XCom of a run, `None` if there is none."""
    from airflow_mapping_kit.reading import tables

    return tables.xcoms(run.dag_id, run.run_id, [(task_id, key)])[task_id, key].get(map_index)


def events_of(asset):
    """Return the stored events of an asset, oldest first."""
    if AIRFLOW_3:
        from airflow.models.asset import AssetEvent as Event
        from airflow.models.asset import AssetModel as Model

        of_asset = Event.asset_id == Model.id
    else:
        from airflow.models.dataset import DatasetEvent as Event
        from airflow.models.dataset import DatasetModel as Model

        of_asset = Event.dataset_id == Model.id
    with create_session() as session:
        rows = (
            session.query(Event).join(Model, of_asset).filter(Model.uri == asset.uri).order_by(Event.id).all()
        )
        session.expunge_all()
    return rows


def store_xcom(run, task_id, value, *, map_index=-1, key="return_value"):
    """Store an XCom of a run, in place of what was there."""
    place = {"dag_id": run.dag_id, "run_id": run.run_id, "task_id": task_id, "map_index": map_index}
    with create_session() as session:
        if AIRFLOW_3:
            from airflow.models.xcom import XComModel

            # As it comes through the execution API: values are JSON already.
            XComModel.set(key=key, value=value, serialize=False, session=session, **place)
        else:
            from airflow.models.xcom import XCom

            XCom.set(key=key, value=value, session=session, **place)


def delete_xcom(run, task_id, *, map_index=-1, key="return_value"):
    """Delete an XCom of a run."""
    from airflow_mapping_kit.compat import xcom_model

    with create_session() as session:
        session.query(xcom_model()).filter_by(
            dag_id=run.dag_id, run_id=run.run_id, task_id=task_id, map_index=map_index, key=key
        ).delete()


@contextlib.contextmanager
def requests():
    """Give what is asked for meanwhile: statements of the database, on Airflow 3 what a task asks its supervisor."""
    sent = []
    if AIRFLOW_3:
        from airflow.sdk.execution_time.supervisor import InProcessSupervisorComms

        send = InProcessSupervisorComms.send

        def noted(comms, msg):
            sent.append(msg)
            return send(comms, msg)

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(InProcessSupervisorComms, "send", noted)
            yield sent
        return

    def note(connection, cursor, statement, *_):
        sent.append(statement)

    event.listen(settings.engine, "before_cursor_execute", note)
    try:
        yield sent
    finally:
        event.remove(settings.engine, "before_cursor_execute", note)


class Run:
    """A DAG run whose tasks are run one by one in this process, as a worker would.

    :param due: when a run without a logical date was due, which Airflow 3 alone has.
    """

    def __init__(
        self, dag, *, logical_date=None, data_interval=None, run_type=DagRunType.MANUAL, due=None, **options
    ):
        store(dag)
        moment = logical_date or due or pendulum.now("UTC")
        options.update(
            state=DagRunState.RUNNING,
            run_id=f"run-{next(_numbers)}",
            start_date=pendulum.now("UTC"),
            run_type=run_type,
            data_interval=data_interval or (moment, moment),
        )
        self.dag = dag
        if AIRFLOW_3:
            from airflow.utils.types import DagRunTriggeredByType

            if due:
                options["data_interval"] = None
            self.dag_run = scheduler_dag(dag).create_dagrun(
                logical_date=None if due else moment,
                run_after=due or max(moment, options["data_interval"][1]),
                triggered_by=DagRunTriggeredByType.TEST,
                **options,
            )
        else:
            self.dag_run = dag.create_dagrun(execution_date=moment, **options)

    def run(self, task_id):
        """Run one task; return its state and what it pushed."""
        run_alone(self.dag, self.dag_run.get_task_instance(task_id))
        return self.dag_run.get_task_instance(task_id).state, xcom_of(self.dag_run, task_id)

    def run_mapped(self, task_id, map_index):
        """Run one instance of a mapped task."""
        run_alone(self.dag, self.dag_run.get_task_instance(task_id, map_index=map_index))


_numbers = itertools.count()
