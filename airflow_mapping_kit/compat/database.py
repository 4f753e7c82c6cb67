"""The metadata database: its rows of instances, runs and XComs, and clearing."""

from __future__ import annotations

from contextlib import contextmanager
from functools import wraps
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar

from airflow_mapping_kit.compat.names import AIRFLOW_3

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

P = ParamSpec("P")
T = TypeVar("T")

_CLEARED_AT_ONCE = 500


def again_if_disconnected(function: Callable[P, T]) -> Callable[P, T]:
    """Have a function that asks the database called again where that failed, as Airflow does.

    As often as `[database] max_db_retries` says. What it writes, it must find when it is called again.
    """

    @wraps(function)
    def called(*args: P.args, **kwargs: P.kwargs) -> T:
        from airflow.utils.retries import run_with_db_retries

        result: T = run_with_db_retries()(function, *args, **kwargs)
        return result

    return called


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


def run_order(columns: Any) -> tuple[Any, ...]:
    """Return what runs are ordered by so that the latest comes first.

    :param columns: the model of runs, or its table's columns.
    """
    # Airflow 3 has runs without a logical date.
    return (columns.run_after.desc() if AIRFLOW_3 else columns.execution_date.desc(), columns.id.desc())


def xcom_model() -> Any:
    """Return the model of the table that holds XComs."""
    from airflow.models import xcom

    return getattr(xcom, "XComModel" if AIRFLOW_3 else "XCom")
