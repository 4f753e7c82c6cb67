"""DAGs from their files, runs from the metadata database, tasks by their names."""

from __future__ import annotations

import contextlib
import sys
import warnings
from typing import TYPE_CHECKING, Any, NamedTuple

from airflow_mapping_kit.cli.failures import Failure, near

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from airflow_mapping_kit.compat import DagFolder
    from airflow_mapping_kit.plans.mapped import Mapped

LATEST = "latest"
_RECENT = 500
_FILES_NAMED = 5


class Run(NamedTuple):
    """A run, as the commands need it."""

    run_id: str
    state: str


def need_database() -> None:
    """Ask the metadata database something, so that what is wrong with it is said first.

    :raises sqlalchemy.exc.SQLAlchemyError: if there is none, or it isn't Airflow's.
    """
    from airflow.models.dag import DagModel
    from sqlalchemy import select

    from airflow_mapping_kit.compat import own_session

    with own_session() as session:
        session.execute(select(DagModel.dag_id).limit(1))


def declared_dag(dag_id: str) -> Any:
    """Return a DAG as its file declares it.

    Where the database knows the file, nothing but that is read; else all DAG files.

    :raises MissingNameError: if this Airflow lacks what the command needs beside it.
    """
    from airflow_mapping_kit.compat import dag_folders, parts, read_dags

    parts.need(parts.COMMAND_LINE)
    with quiet():
        folders = dag_folders()
        known = _known_file(dag_id, folders)
        dags, errors = ({}, {}) if known is None else read_dags(*known)
        # The DAG may have moved to another file since Airflow read it.
        for folder in folders if dag_id not in dags and not errors else ():
            found, broken = read_dags(folder)
            dags, errors = {**dags, **found}, {**errors, **broken}
            known = None
    if dag_id in dags:
        return dags[dag_id]
    if known is not None:
        raise Failure(f"The file of the DAG {dag_id!r} can't be imported: {_broken(errors)}")
    where = ", ".join(str(folder.path) for folder in folders)
    if not dags and not errors:
        raise Failure(
            f"There is no DAG {dag_id!r} in {where}, and no other DAG: is it the folder that your Airflow reads? "
            f"See AIRFLOW_HOME and [core] dags_folder."
        )
    raise Failure(
        f"There is no DAG {dag_id!r} in {where}.{near(dag_id, dags)}"
        + (f"\nIt may be in a file that can't be imported: {_broken(errors)}" if errors else "")
    )


def _known_file(dag_id: str, folders: Sequence[DagFolder]) -> tuple[DagFolder, Path] | None:
    from sqlalchemy.exc import SQLAlchemyError

    from airflow_mapping_kit.compat import dag_file, own_session

    try:
        with own_session() as session:
            return dag_file(dag_id, folders, session)
    except SQLAlchemyError:
        # A plan needs no database; who does says what is wrong with it.
        return None


def _broken(errors: Mapping[str, str]) -> str:
    lines = [
        f"{path}: {(error.strip().splitlines() or ['?'])[-1]}"
        for path, error in list(errors.items())[:_FILES_NAMED]
    ]
    more = len(errors) - _FILES_NAMED
    return "\n".join([*lines, *([f"and {more:,} more files"] if more > 0 else [])])


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Keep what DAG files print and warn of, and what Airflow logs, out of the answer."""
    from airflow_mapping_kit.compat import without_logs

    with without_logs(), warnings.catch_warnings(), contextlib.redirect_stdout(sys.stderr):
        warnings.simplefilter("ignore")
        yield


def run_of(dag_id: str, run_id: str) -> Run:
    """Return a run of a DAG by its id, or the latest."""
    from airflow.models.dagrun import DagRun
    from sqlalchemy import select

    from airflow_mapping_kit.compat import own_session, run_order

    wanted = select(DagRun.run_id, DagRun.state).where(DagRun.dag_id == dag_id)
    recent = wanted.order_by(*run_order(DagRun))
    with own_session() as session:
        exact = wanted.where(DagRun.run_id == run_id)
        found = session.execute(recent.limit(1) if run_id == LATEST else exact).first()
        others = [] if found else [row.run_id for row in session.execute(recent.limit(_RECENT))]
    if found is None:
        raise Failure(no_run(dag_id, run_id, others))
    return Run(*found)


def no_run(dag_id: str, run_id: str, others: list[str]) -> str:
    """Return what is said of a run that doesn't exist.

    :param others: the ids of the DAG's other runs, latest first.
    """
    if not others:
        return f"The DAG {dag_id!r} has no runs yet."
    guess = near(run_id, [LATEST, *others]) or f" The latest is {others[0]}."
    return f"The DAG {dag_id!r} has no run {run_id!r}.{guess}"


def mapped_of(dag: Any, task_id: str | None) -> list[Mapped]:
    """Return the mapped tasks and groups of a DAG, or the one that a name stands for.

    :param task_id: a mapped task, a mapped group, or a task within one, which stands for the group.
    """
    from airflow_mapping_kit.plans.mapped import mapped_in

    mapped = mapped_in(dag)
    if task_id is None:
        if not mapped:
            raise Failure(f"The DAG {dag.dag_id!r} has no mapped task, so it has no pieces.")
        return mapped
    for one in mapped:
        if task_id == one.name or task_id in one.task_ids:
            return [one]
    groups = dag.task_group.get_task_group_dict()
    names = [name for one in mapped for name in (one.name, *one.task_ids)]
    if task_id in dag.task_dict or (task_id is not None and task_id in groups):
        raise Failure(
            f"{task_id} is not mapped, so it has no pieces."
            + (f" Mapped in {dag.dag_id}: {', '.join(one.name for one in mapped)}." if mapped else "")
        )
    raise Failure(f"The DAG {dag.dag_id!r} has no task {task_id!r}.{near(task_id, [*names, *dag.task_dict])}")
