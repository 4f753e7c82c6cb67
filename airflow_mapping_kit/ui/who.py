"""Who asks, and what that user may see and do of a DAG."""

from __future__ import annotations

import re
from typing import Literal, NamedTuple, Protocol

from airflow_mapping_kit.printable import one_line
from airflow_mapping_kit.ui.refused import Refused

Method = Literal["GET", "POST", "PUT"]
Entity = Literal["RUN", "TASK_INSTANCE", "XCOM"]

# What Airflow takes as the id of a DAG. Nothing else can be one, so nothing else gets as far as the database.
_DAG_ID = re.compile(r"[\w.-]{1,250}")


class Who(Protocol):
    """A user as the web framework knows it."""

    @property
    def name(self) -> str:
        """The user name, for the audit log."""

    @property
    def signed_in(self) -> bool:
        """Whether it is somebody: nobody is asked to sign in, others are told that they may not."""

    def can(self, method: Method, entity: Entity, dag_id: str) -> bool:
        """Tell whether Airflow allows this of a DAG."""

    def readable(self) -> set[str]:
        """Return the ids of the DAGs that may be read."""


class Rights(NamedTuple):
    """What the buttons of the page may do, and whether errors are shown: they come from XComs."""

    clear: bool
    start: bool
    errors: bool


def rights(who: Who, dag_id: str) -> Rights:
    """Return what a user may do of a DAG beside seeing it.

    :raises Refused: 401 to nobody, 403 to who may not see its task instances and runs, 404 where no DAG can have
        the id: never told to who may not see it.
    """
    possible = _DAG_ID.fullmatch(dag_id) is not None
    if not possible and who.signed_in:
        raise Refused(404, f"There is no DAG {one_line(dag_id)!r}.")
    if not (possible and who.can("GET", "TASK_INSTANCE", dag_id) and who.can("GET", "RUN", dag_id)):
        raise Refused(*NOT_SEEN if who.signed_in else NOT_SIGNED_IN)
    return Rights(
        clear=who.can("PUT", "TASK_INSTANCE", dag_id),
        start=who.can("POST", "RUN", dag_id),
        errors=who.can("GET", "XCOM", dag_id),
    )


NOT_SIGNED_IN = (401, "You are not signed in to Airflow, or not any more. Sign in and look again.")
NOT_SEEN = (
    403,
    "You may not see the task instances and runs of this DAG. Ask an admin for the right to read them.",
)
