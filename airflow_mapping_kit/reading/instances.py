"""What a fan-in needs to know of a run, wherever it is read: in the database, or by asking the supervisor."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping


@dataclass(frozen=True)
class Instance:
    """A task instance, as the fan-in needs it.

    `state` is Airflow's, and `not_started` of what the end of its run left undone, which Airflow calls skipped.
    """

    state: str | None
    try_number: int
    duration: float | None
    label: str | None
    max_tries: int


class Source(NamedTuple):
    """An XCom that a plan is made of; of a mapped task it is the list of what its instances pushed."""

    task_id: str
    key: str
    mapped: bool


class Reading(Protocol):
    """How instances and XComs of a run are read: `tables`, or the `Supervisor` of a task of Airflow 3."""

    def instances(
        self, dag_id: str, run_id: str, task_ids: Collection[str]
    ) -> dict[str, dict[int, Instance]]:
        """Return the instances of some tasks of a run: `{task id: {map index: instance}}`."""
        ...

    def xcoms(
        self, dag_id: str, run_id: str, wanted: Iterable[tuple[str, str]]
    ) -> dict[tuple[str, str], dict[int, Any]]:
        """Return what some tasks of a run pushed: `{(task id, key): {map index: value}}`, by map index.

        What can't be read as the object it was is the plain data it was made of.
        """
        ...

    def xcom(self, dag_id: str, run_id: str, task_id: str, map_index: int, key: str) -> Any:
        """Return what one instance pushed, `None` if nothing."""
        ...


def value_of(source: Source, found: Mapping[tuple[str, str], Mapping[int, Any]]) -> Any:
    """Return the value of a source among the XComs that were read, `None` if it was not pushed.

    Of a mapped task that is the list of what its instances pushed, without gaps: so Airflow maps over it.
    """
    by_index = found[source.task_id, source.key]
    if source.mapped:
        return [value for index, value in by_index.items() if index >= 0]
    return by_index.get(-1)
