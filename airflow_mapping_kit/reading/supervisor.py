"""What one run left behind, as a task of Airflow 3 gets to know it: by asking its supervisor, call by call.

Such a task has no database. Airflow answers for a whole task at once, but says neither which instance pushed
a value, nor how often one was tried, nor its label: those are in the records that instances leave.
"""

from __future__ import annotations

import functools
import re
import time
from typing import TYPE_CHECKING, Any, NamedTuple

from airflow_mapping_kit.compat import asking, is_mapped, plain_xcoms
from airflow_mapping_kit.reading.instances import Instance, value_of
from airflow_mapping_kit.reading.records import RECORD_KEY, is_plain
from airflow_mapping_kit.reading.values import values_of
from airflow_mapping_kit.results import FAILED, NOT_STARTED, SKIPPED, SUCCESS, part_of

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping

    from airflow_mapping_kit.reading.instances import Source

# Airflow tells of a failure before the process that failed says why: so often, and so long, is that waited for.
_LOOKS = 3
_SECONDS_BETWEEN = 1.0


class Supervisor:
    """Reads a run for the fan-in of a mapped task or group.

    For a task it takes five calls, however many pieces there are: its instances, how many there should be, their
    records, what they returned, and the XCom that the plan is made of; for each further task of a group and each
    further source one more, and one a task where somebody cleared something that has not run again. Fewer there
    cannot be, as no call answers for the XComs of two tasks, or for instances and XComs at once. Only of an
    instance that may or may not have pushed something, such as a batch that failed, is that one asked for: then
    a call each. Where all have pushed summaries of what they keep elsewhere, those say whose they are.

    :param task_instance: the instance of the fan-in, as its task has it.
    :param task_ids: the tasks that make the state of one piece.
    :param run_id: the run that is read. Default: that of the instance.
    """

    def __init__(self, task_instance: Any, task_ids: Collection[str], run_id: str | None = None) -> None:
        self._ti = task_instance
        self._run_id = run_id or task_instance.run_id
        self._dag = task_instance.task.dag
        self._task_ids = task_ids
        self._records: dict[str, dict[int, Any]] = {}
        self._instances: dict[str, dict[int, Instance]] = {}

    def instances(
        self, dag_id: str, run_id: str, task_ids: Collection[str]
    ) -> dict[str, dict[int, Instance]]:
        """Return the instances of some tasks of a run: `{task id: {map index: instance}}`."""
        crumbs: dict[str, dict[int, Any]] = {task_id: {} for task_id in task_ids}
        for crumb in self._ti.get_task_breadcrumbs(dag_id, run_id):
            if crumb["task_id"] in crumbs:
                crumbs[crumb["task_id"]][crumb["map_index"]] = crumb
        # Of what has not ended there are none: somebody cleared it, and the fan-in runs all the same.
        if self._ti.get_ti_count(dag_id, task_ids=[*task_ids], run_ids=[run_id]) > sum(
            map(len, crumbs.values())
        ):
            for task_id, by_index in crumbs.items():
                for map_index, state in self._states(dag_id, run_id, task_id):
                    by_index.setdefault(map_index, {"state": state, "duration": None})
        self._read_records([task_id for task_id in self._task_ids if crumbs.get(task_id)], crumbs)
        self._instances = {
            task_id: {
                map_index: self._instance(task_id, map_index, crumb)
                for map_index, crumb in sorted(by_index.items())
            }
            for task_id, by_index in crumbs.items()
        }
        return self._instances

    def xcoms(
        self,
        dag_id: str,  # noqa: ARG002 -- it reads one run
        run_id: str,  # noqa: ARG002
        wanted: Iterable[tuple[str, str]],
    ) -> dict[tuple[str, str], dict[int, Any]]:
        """Return what some tasks of a run pushed: `{(task id, key): {map index: value}}`, by map index.

        What a mapped task pushed that is not collected comes under the numbers from 0 on: which instance it is of
        does not matter to what is mapped over it.
        """
        found = {}
        for task_id, key in wanted:
            if key == RECORD_KEY:
                found[task_id, key] = self._records.get(task_id, {})
            elif task_id in self._task_ids:
                found[task_id, key] = self._by_index(task_id, key)
            else:
                found[task_id, key] = _of_task(self._place(task_id, key), self._dag.get_task(task_id))
        return found

    def xcom(self, dag_id: str, run_id: str, task_id: str, map_index: int, key: str) -> Any:
        """Return what one instance pushed, `None` if nothing."""
        place = {"dag_id": dag_id, "run_id": run_id, "task_id": task_id, "key": key}
        return _of_instances(place, [map_index], plain=is_plain(key)).get(map_index)

    def _place(self, task_id: str, key: str) -> dict[str, str]:
        return _place(self._dag.dag_id, self._run_id, task_id, key)

    def _states(self, dag_id: str, run_id: str, task_id: str) -> Iterable[tuple[int, str | None]]:
        # One task a call: of two, `load` and `load_1`, the names in the answer could mean either.
        answer = self._ti.get_task_states(dag_id, task_ids=[task_id], run_ids=[run_id]).get(run_id, {})
        for name, state in answer.items():
            number = re.fullmatch(r"_(\d+)", name.removeprefix(task_id))
            yield (int(number[1]) if number else -1), state

    def _read_records(
        self, task_ids: Collection[str], crumbs: Mapping[str, Mapping[int, Mapping[str, Any]]]
    ) -> None:
        waited_for = set(task_ids)
        # What a process of another run had to say it has said.
        for look in range(_LOOKS if self._run_id == self._ti.run_id else 1):
            if look:
                time.sleep(_SECONDS_BETWEEN)
            for task_id in waited_for:
                self._records[task_id] = {
                    record["map_index"]: record
                    for record in _pushed(self._place(task_id, RECORD_KEY), plain=True)
                    # One that Airflow 2 left before an upgrade does not say where it is from.
                    if isinstance(record, dict) and "map_index" in record
                }
            waited_for = {
                task_id
                for task_id in waited_for
                if any(
                    crumb["state"] == FAILED
                    and "error" not in self._records[task_id].get(map_index, {"error": None})
                    for map_index, crumb in crumbs[task_id].items()
                )
            }
            if not waited_for:
                return

    def _instance(self, task_id: str, map_index: int, crumb: Mapping[str, Any]) -> Instance:
        record = self._records.get(task_id, {}).get(map_index, {})
        state = crumb["state"]
        if state == SKIPPED and map_index >= 0 and self._undone(task_id, crumb, record):
            state = NOT_STARTED
        # Without a record no more is known than that something was tried: what skipped itself took time for it.
        tried = 1 if state in {SUCCESS, FAILED} or (state == SKIPPED and crumb["duration"]) else 0
        return Instance(
            state=None if state is None else str(state),
            try_number=record.get("try_number", tried),
            duration=crumb["duration"],
            label=record.get("label"),
            max_tries=record.get("max_tries", 0),
        )

    def _undone(self, task_id: str, crumb: Mapping[str, Any], record: Mapping[str, Any]) -> bool:
        """Tell whether the end of the run, which calls it skipped, left an instance undone."""
        # What skips itself does so without an error; one that waited for its next try has one.
        if "error" in record:
            return True
        # What the end of a run skips never ended, and so did not take any time. What a branch skips has no time
        # either, and never started.
        before = self._dag.get_task(task_id).upstream_list
        branched = not record and any(getattr(task, "inherits_from_skipmixin", False) for task in before)
        return crumb["duration"] is None and not branched

    def _by_index(self, task_id: str, key: str) -> dict[int, Any]:
        """Return what the instances of a collected task pushed, by map index."""
        values = _pushed(self._place(task_id, key))
        if not values:
            return {}
        # What is kept elsewhere says whose it is: nobody has to be asked for it by itself.
        parts = {part["map_index"]: value for value in values if (part := part_of(value)) is not None}
        if len(parts) == len(values):
            return dict(sorted(parts.items()))
        sure, unsure = self._holders(task_id)
        found = _of_instances(self._place(task_id, key), [index for index in unsure if index not in parts])
        holders = sorted({*sure, *found, *parts})
        if len(holders) != len(values):
            # Somebody marked instances, or their records are missing: nothing may be mixed up.
            return _of_instances(self._place(task_id, key), sorted(self._instances[task_id]))
        return dict(zip(holders, values, strict=True))

    def _holders(self, task_id: str) -> tuple[list[int], list[int]]:
        """Return which instances pushed a result, and which may or may not have."""
        sure, unsure = [], []
        for map_index, instance in self._instances[task_id].items():
            record = self._records.get(task_id, {}).get(map_index)
            if instance.state == SUCCESS and record and "error" not in record:
                if record.get("returned", True):
                    sure.append(map_index)
            elif (
                not self._ended_without(task_id, instance, record)
                if record
                else instance.state in {SUCCESS, FAILED}
            ):
                unsure.append(map_index)
        return sure, unsure

    def _ended_without(self, task_id: str, instance: Instance, record: Mapping[str, Any]) -> bool:
        """Tell whether an instance ended in a way that leaves no result."""
        if instance.state == FAILED:
            # What failed by itself says so; what was killed, or marked failed after it had succeeded, does not.
            return record.get("returned") is False and not self._may_fail_with_a_result(task_id)
        return instance.state == SKIPPED

    def _may_fail_with_a_result(self, task_id: str) -> bool:
        declared = self._dag.get_task(task_id)
        return hasattr(getattr(declared, "operator_class", type(declared)), "batch_parameter")


def pushed(task_instance: Any, dag: Any, wanted: Iterable[Source]) -> dict[Source, Any]:
    """Return the values of a plan's sources, a call each; what was not pushed is missing.

    :param task_instance: any of the run, as its task has it.
    """
    found = {
        source: value_of(
            source,
            {
                (source.task_id, source.key): _of_task(
                    _place(task_instance.dag_id, task_instance.run_id, source.task_id, source.key),
                    dag.get_task(source.task_id),
                )
            },
        )
        for source in wanted
    }
    return {source: value for source, value in found.items() if value is not None}


def unmapped(dag_id: str, run_id: str, task_id: str, key: str) -> Any:
    """Return what an unmapped task has under a key of the kit's own, `None` if nothing.

    Asked as of a mapped one: of a single XCom that isn't there the supervisor writes an error into the task's log.
    """
    values = _pushed(_place(dag_id, run_id, task_id, key), plain=True)
    return values[0] if values else None


def _of_task(place: Mapping[str, str], declared: Any) -> dict[int, Any]:
    return dict(enumerate(_pushed(place))) if is_mapped(declared) else _of_instances(place, [-1])


class _Row(NamedTuple):
    """What the table holds of one XCom."""

    value: Any


def _pushed(place: Mapping[str, str], *, plain: bool = False) -> list[Any]:
    """Return what the instances of a task pushed, in map-index order and without gaps, in one call.

    :param plain: whether it was pushed past the deployment's backend.
    """
    with asking():
        raw = _as_they_are().get_all(**place)
    return values_of([_Row(value) for value in raw or ()], plain=plain)


def _of_instances(
    place: Mapping[str, str], map_indexes: Iterable[int], *, plain: bool = False
) -> dict[int, Any]:
    """Return what some instances of a task pushed, in a call each.

    :param plain: whether it was pushed past the deployment's backend.
    """
    table = _as_they_are()
    with asking():
        raw = {map_index: table.get_one(**place, map_index=map_index) for map_index in map_indexes}
    found = {map_index: _Row(value) for map_index, value in raw.items() if value is not None}
    return dict(zip(found, values_of([*found.values()], plain=plain), strict=True))


def _place(dag_id: str, run_id: str, task_id: str, key: str) -> dict[str, str]:
    return {"dag_id": dag_id, "run_id": run_id, "task_id": task_id, "key": key}


@functools.cache
def _as_they_are() -> Any:
    """Return what reads XComs as the table holds them: what a backend makes of each can wait, and be done at once."""
    plain: Any = plain_xcoms()

    class AsTheyAre(plain):  # type: ignore[misc]
        @staticmethod
        def deserialize_value(result: Any) -> Any:
            return result.value

    return AsTheyAre
