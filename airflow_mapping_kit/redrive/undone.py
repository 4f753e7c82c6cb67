"""The items of batches that a run has not done, and the generator that can make batches of just those."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from itertools import accumulate
from typing import TYPE_CHECKING, Any

from airflow_mapping_kit.compat import is_mapped, xcom_kind
from airflow_mapping_kit.exceptions import PlanError
from airflow_mapping_kit.outcomes.shares import Held
from airflow_mapping_kit.outcomes.states import outcome
from airflow_mapping_kit.plans.batches import RETURN_VALUE, batched, unwraps
from airflow_mapping_kit.plans.held import items_of
from airflow_mapping_kit.plans.mapped import Mapped
from airflow_mapping_kit.plans.slices import Slice
from airflow_mapping_kit.results import FAILED, FAILURES, NOT_STARTED, UPSTREAM_FAILED

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from airflow_mapping_kit.reading.instances import Reading

# What became of a task that was never expanded, of which all is left to do.
_NOT_BEGUN = (FAILED, UPSTREAM_FAILED, NOT_STARTED)


def maker_of(mapped: Mapped) -> str | None:
    """Return the id of the generator that a mapped task has its batches from, or that a batched task before it has.

    `None` where its pieces are no batches, or are batches and something else: combined with another list, or made by
    a function. There an item is no piece of a plan that could be made of it alone.
    """
    how, over = batched(mapped.dag.get_task(mapped.main)), mapped.expand_input.value
    if how is None or not isinstance(over, Mapping) or [*over] != [how.argument]:
        return None
    given = over[how.argument]
    if xcom_kind(given) != "plain" or given.key != RETURN_VALUE:
        return None
    if is_mapped(given.operator):
        return maker_of(Mapped.of(given.operator)) if unwraps(given) else None
    return str(given.operator.task_id) if getattr(given.operator, "gives_what_is_not_done", False) else None


class Undone:
    """What a run has not done of the items that a generator gave.

    :param targets: what works on its batches, and on what others made of them: what one has not done counts.
    :param run_id: the run.
    :param read: how that is read, for each of the targets.
    """

    def __init__(
        self,
        task_id: str,
        targets: Sequence[Mapped],
        run_id: str,
        read: Callable[[Mapped], Reading],
    ) -> None:
        self.task_id = task_id
        self.targets = targets
        self._run_id = run_id
        self._read = read

    @cached_property
    def places(self) -> dict[int, list[int]]:
        """Where they are: of each batch that has some their places in it, from 0.

        :raises PlanError: if the plan was made anew since, so nobody knows which items they were.
        """
        found: dict[int, set[int]] = {}
        for mapped in self.targets:
            for index, places in self._of(mapped):
                found.setdefault(index, set()).update(places)
        return {index: sorted(found[index]) for index in sorted(found) if index < len(self._batches)}

    @property
    def count(self) -> int:
        """How many items they are."""
        return sum(map(len, self.places.values()))

    @property
    def size(self) -> int:
        """How many items a batch has that is made of them: as many as the largest of the run."""
        return max([1, *map(_length, self._batches)])

    def items(self) -> Iterator[Any]:
        """Yield them, in the order of the plan.

        :raises StorageError: if they are not there any more.
        """
        read, dag_id = self._read(self.targets[0]), self.targets[0].dag.dag_id
        for index, places in self.places.items():
            batch = self._batches[index]
            held = Slice.of(batch)
            if held is None:
                all_of_it = batch if isinstance(batch, list) else [batch]
                yield from (all_of_it[place] for place in places if place < len(all_of_it))
                continue
            wanted = {held.first + place for place in places}
            for number, item in items_of(held, read, dag_id, self._run_id):
                if number in wanted:
                    yield item

    @cached_property
    def _batches(self) -> Sequence[Any]:
        one = self.targets[0]
        made = self._read(one).xcom(one.dag.dag_id, self._run_id, self.task_id, -1, RETURN_VALUE)
        if not isinstance(made, list | tuple):
            raise PlanError(
                f"{self.task_id} has no plan in the run {self._run_id}: it was cleared, or deleted since. Retry what "
                f"failed in that run itself."
            )
        return made

    def _of(self, mapped: Mapped) -> Iterator[tuple[int, set[int]]]:
        found = outcome(mapped, self._run_id, self._read(mapped), values=False)
        if found.moved:
            raise PlanError(
                f"The plan of {mapped.name} has changed since the run {self._run_id} worked on it, so its batches are "
                f"others now: retry what failed in that run itself."
            )
        if found.unexpanded in _NOT_BEGUN:
            raise PlanError(
                f"{mapped.name} was never begun in the run {self._run_id}, where it is "
                f"{found.unexpanded}: all of it is left to do, and not only what failed before. Retry "
                f"what failed in that run itself."
            )
        first = [0, *accumulate(map(_length, self._batches))]
        for index, share in enumerate(found.shares):
            if not share.tally.failed:
                continue
            if isinstance(share, Held):
                yield index, {place for place, row in enumerate(share.rows()) if row["state"] in FAILURES}
            else:
                yield index, {row["item"] - first[index] for row in share.failures()}


def _length(batch: Any) -> int:
    held = Slice.of(batch)
    if held is not None:
        return held.count
    # A single piece among batches is an item by itself.
    return len(batch) if isinstance(batch, list) else 1
