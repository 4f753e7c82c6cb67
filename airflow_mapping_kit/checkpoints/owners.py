"""Whose an instance is: a process that froze may come back after Airflow has given its work to another."""

from __future__ import annotations

import logging
import math
import os
import time
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NoReturn

from airflow_mapping_kit.compat import (
    AIRFLOW_3,
    AirflowException,
    again_if_disconnected,
    asking,
    dialect_of,
    is_of_no_instance,
    name_in_text,
    own_session,
)
from airflow_mapping_kit.failures import said
from airflow_mapping_kit.reading.records import error_of
from airflow_mapping_kit.results import FAILED, SKIPPED, SUCCESS, UPSTREAM_FAILED

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from airflow.utils.context import Context

log = logging.getLogger(__name__)

_SECONDS = 1

# Nothing is ever kept under it.
_NO_KEY = "mapping_kit_try"

# Of an instance in such a state Airflow 2 takes no other from whoever worked on it; one that somebody cleared while
# it ran it ends as if it had failed, to go on with the next try.
_DECIDED = (SUCCESS, FAILED, SKIPPED, UPSTREAM_FAILED, "removed", "restarting")


class Superseded(Exception):  # noqa: N818 -- no error of the work: Airflow has decided otherwise
    """The try that a process works on is not its own any more.

    :param another: whether another try of the instance counts now, whose state this process must not touch.
    """

    def __init__(self, message: str, *, another: bool) -> None:
        super().__init__(message)
        self.another = another


@dataclass(frozen=True)
class Owner:
    """The process that works on a try of an instance. Airflow 2.x.

    :param state: the state that the instance has meanwhile.
    :param job_id: the job that the process belongs to, `None` where the process runs more than this task.
    """

    dag_id: str
    run_id: str
    task_id: str
    map_index: int
    try_number: int
    state: str | None
    job_id: str | None

    def check(self, *, done: bool = False, session: Any = None) -> None:
        """Look whether the try is still this process's own.

        :param done: whether its work is: then it may say so even where somebody has marked the instance.
        :param session: one that is at hand. Default: one of its own.
        :raises Superseded: if it is not.
        """
        from airflow.models.taskinstance import TaskInstance
        from sqlalchemy import text

        place = {name: getattr(self, name) for name in ("dag_id", "run_id", "task_id", "map_index")}
        with own_session() if session is None else nullcontext(session) as asked:
            # Text: see `compat.xcoms`.
            table = name_in_text(dialect_of(asked), TaskInstance.__table__)
            query = text(
                f"SELECT state, try_number, job_id FROM {table} "  # noqa: S608 -- nothing but its name
                "WHERE dag_id = :dag_id AND run_id = :run_id AND task_id = :task_id AND map_index = :map_index"
            )
            row = asked.execute(query, place).first()
        same = row is not None and (row.try_number, _id(row.job_id)) == (self.try_number, self.job_id)
        if row is not None and same and row.state in {"running", self.state}:
            return
        another = row is None or not same or row.state not in _DECIDED
        if done and not another:
            return
        now = "is gone" if row is None else f"is {row.state} in its try {row.try_number}"
        raise Superseded(
            f"This process no longer owns try {self.try_number} of this instance: the instance {now}. It starts "
            "and commits nothing more.",
            another=another,
        )


def owner_of(context: Context) -> Owner | None:
    """Return the owner of a running instance, `None` on Airflow 3, which looks by itself who asks it."""
    instance: Any = context.get("ti")
    if AIRFLOW_3 or instance is None or getattr(instance, "test_mode", False):
        return None
    return Owner(
        instance.dag_id,
        instance.run_id,
        instance.task_id,
        instance.map_index,
        instance.try_number,
        instance.state,
        _id(instance.job_id),
    )


def check_try(context: Context, owner: Owner | None) -> None:
    """Look whether a try is still this process's own, before it does what the next try would do as well.

    On Airflow 3.3 the task state store answers, which knows a try by its id. Nothing tells on an earlier Airflow 3.

    :param owner: that of the running instance.
    :raises Superseded: if it is not.
    :raises AirflowException: if Airflow does not answer.
    """
    store: Any = context.get("task_state_store") if AIRFLOW_3 else None
    try:
        if owner is not None:
            again_if_disconnected(owner.check)()
        elif store is not None:
            with asking():
                store.delete(_NO_KEY)
    except Superseded:
        raise
    except Exception as error:
        if store is not None and is_of_no_instance(error):
            raise unknown_try() from error
        raise AirflowException(
            "Airflow does not answer whether this try is still this process's own, so what it was about to commit or "
            f"publish stays as it was: {said(error_of(error))}. Run the task again."
        ) from error


def still_own(context: Context) -> Callable[[], None]:
    """Return what looks whether a try is still this process's own, before each of many partitions.

    It asks once a second: Airflow gives a try away only when it has heard nothing of its process for longer.
    """
    owner, asked = owner_of(context), -math.inf

    def look() -> None:
        nonlocal asked
        if time.monotonic() - asked >= _SECONDS:
            check_try(context, owner)
            asked = time.monotonic()

    return look


def unknown_try() -> Superseded:
    """Return what to raise where Airflow 3 knows a try no longer."""
    return Superseded(
        "Airflow no longer knows this try of the instance: it was given to another process, or cleared. This "
        "process starts and commits nothing more.",
        another=True,
    )


@contextmanager
def giving_way(owner: Owner | None) -> Iterator[None]:
    """End the work within where the try is not this process's own any more, whatever else ends it.

    Airflow 2 may find the process of an old try as well, and ends it like the failure of the one that goes on.

    :param owner: as it was when the work began.
    :raises AirflowException: where that fails nobody else's try.
    """
    try:
        yield
    except Superseded as found:
        give_way(found, owner)
    except BaseException:
        if owner is not None and owner.job_id is not None:
            try:
                owner.check(done=True)
            except Superseded as found:
                give_way(found, owner)
            except Exception as error:  # noqa: BLE001 -- what ended the work says more
                log.warning("Which process owns this try could not be found out: %s", said(error_of(error)))
        raise


def give_way(found: Superseded, owner: Owner | None) -> NoReturn:
    """End the work of a process whose try is not its own any more.

    :param owner: as it was when the work began.
    :raises AirflowException: where that fails nobody else's try.
    """
    if owner is None or owner.job_id is None or not found.another:
        raise AirflowException(str(found)) from None
    log.error("%s This process ends at once.", found)
    # Airflow 2 writes the state of whatever a task raises into the instance, without looking whose it is: the try
    # that goes on elsewhere would be failed. This is how its own processes of tasks end.
    logging.shutdown()
    os._exit(1)


def _id(job_id: Any) -> str | None:
    return None if job_id is None else str(job_id)
