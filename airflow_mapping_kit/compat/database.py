"""The metadata database: its rows of instances, runs and XComs, and clearing."""

from __future__ import annotations

from contextlib import contextmanager
from functools import wraps
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar

from airflow_mapping_kit.compat.held import connection_of
from airflow_mapping_kit.compat.names import AIRFLOW_3

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

P = ParamSpec("P")
T = TypeVar("T")

_CLEARED_AT_ONCE = 500
# So long Airflow's own work waits at most for a statement of the kit's, and for a lock that it needs.
_SECONDS = 2


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

    with connection_of(settings.engine) as bind, Session(bind) as session, session.begin():
        yield session


@contextmanager
def kept_connection() -> Iterator[Any]:
    """Give a connection that is kept for many small statements, each of them a transaction by itself."""
    from airflow import settings

    with settings.engine.connect() as connection:
        yield connection.execution_options(isolation_level="AUTOCOMMIT")


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


@contextmanager
def passing_connection(session: Any = None) -> Iterator[Any]:
    """Give a connection for a look, or a word, in the midst of Airflow's own work, which must not wait for it.

    It is that of the transaction in which the work is, within a savepoint: a second one would have to be waited for
    where the pool is exhausted, and could wait for locks that the first one holds. Its statements end early.

    :param session: that of the work, where it is known; else this thread's, if it is in a transaction.
    :raises TimeoutError: SQLAlchemy's, if there is no transaction and the pool has no connection to spare.
    """
    session = session or _session_of_this_thread()
    if session is None or not session.in_transaction():
        with passing_session() as own:
            yield own.connection()
        return
    connection = session.connection()
    with connection.begin_nested(), _in_short(connection):
        yield connection


@contextmanager
def passing_session() -> Iterator[Any]:
    """Give a session as `own_session` does, whose connection nobody waits for and whose statements end early.

    :raises TimeoutError: SQLAlchemy's, if the pool has no connection to spare.
    """
    from airflow import settings
    from sqlalchemy.exc import TimeoutError as PoolTimeoutError

    pool = settings.engine.pool
    if hasattr(pool, "checkedout"):
        most = getattr(pool, "_max_overflow", -1)
        if most >= 0 and pool.checkedout() >= pool.size() + most:
            raise PoolTimeoutError(f"Every connection to the metadata database is in use: {pool.status()}.")
    with own_session() as session, _in_short(session.connection()):
        yield session


def _session_of_this_thread() -> Any:
    from airflow import settings

    registry = getattr(settings.Session, "registry", None)
    return registry() if registry is not None and registry.has() else None


@contextmanager
def _in_short(connection: Any) -> Iterator[None]:
    """End statements early for a while. SQLite has a time-out of its own, and locks no rows."""
    mariadb = getattr(connection.dialect, "is_mariadb", False)
    limits = _LIMITS.get("mariadb" if mariadb else connection.dialect.name)
    if limits is None:
        yield
        return
    from sqlalchemy import text

    asked, limited, short = limits
    before = dict(connection.execute(text(asked)).mappings().one())
    connection.execute(text(limited), short)
    try:
        yield
    except BaseException:
        # PostgreSQL takes no more statements after one that failed, and takes the settings back with its savepoint.
        if connection.dialect.name != "postgresql":
            connection.execute(text(limited), before)
        raise
    connection.execute(text(limited), before)


_LIMITS: dict[str, tuple[str, str, dict[str, str | int]]] = {
    "postgresql": (
        "SELECT current_setting('statement_timeout') AS work, current_setting('lock_timeout') AS wait",
        "SELECT set_config('statement_timeout', :work, true), set_config('lock_timeout', :wait, true)",
        {"work": f"{_SECONDS}s", "wait": f"{_SECONDS}s"},
    ),
    "mysql": (
        "SELECT @@SESSION.max_execution_time AS work, @@SESSION.innodb_lock_wait_timeout AS wait",
        "SET SESSION max_execution_time = :work, SESSION innodb_lock_wait_timeout = :wait",
        {"work": _SECONDS * 1000, "wait": _SECONDS},
    ),
    # MySQL's other half has the same by another name, in seconds.
    "mariadb": (
        "SELECT @@SESSION.max_statement_time AS work, @@SESSION.innodb_lock_wait_timeout AS wait",
        "SET SESSION max_statement_time = :work, SESSION innodb_lock_wait_timeout = :wait",
        {"work": _SECONDS, "wait": _SECONDS},
    ),
}


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


def dialect_of(connection: Any) -> Any:
    """Return the dialect of the database that a connection, or a session, is to."""
    return getattr(connection, "dialect", None) or connection.get_bind().dialect


def name_in_text(dialect: Any, table: Any) -> str:
    """Return the name of a table for a statement of text, with `[database] sql_alchemy_schema` where that is set."""
    name: str = dialect.identifier_preparer.format_table(table)
    return name


def stored_dag(dag_id: str, run_id: str, session: Any) -> Any:
    """Return the DAG of a run as the scheduler has it; `None` where it is not, or not any more, in the database."""
    if not AIRFLOW_3:
        from airflow.models.serialized_dag import SerializedDagModel

        row = SerializedDagModel.get(dag_id, session=session)
        return row and row.dag
    from airflow.models import dagbag
    from airflow.models.dagrun import DagRun
    from sqlalchemy import select

    bag = getattr(dagbag, "DBDagBag")  # noqa: B009 -- Airflow 2 has none
    run = session.scalar(select(DagRun).where(DagRun.dag_id == dag_id, DagRun.run_id == run_id))
    return run and bag(load_op_links=False).get_dag_for_run(dag_run=run, session=session)
