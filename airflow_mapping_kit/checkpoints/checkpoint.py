"""What is done of a batch, kept where a retry of its instance finds it.

Where that is differs: Airflow 3.3 has a store for it, Airflow 2 lets tasks write to its tables, and between them
there is no place of the kind.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

from airflow_mapping_kit.checkpoints import store as checkpoint_store
from airflow_mapping_kit.checkpoints import xcoms as checkpoint_xcoms
from airflow_mapping_kit.checkpoints.store import Stored, left_by
from airflow_mapping_kit.checkpoints.xcoms import place_of
from airflow_mapping_kit.compat import AIRFLOW_3, has_state_store
from airflow_mapping_kit.plans.batches import keeps_what_is_done

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from airflow.utils.context import Context

    from airflow_mapping_kit.checkpoints.owners import Owner
    from airflow_mapping_kit.reading.instances import Reading
    from airflow_mapping_kit.results import ItemResult


class Checkpoint(Protocol):
    """The checkpoint of one instance."""

    @property
    def kept_with(self) -> str:
        """What a log calls the place that it is kept at."""

    def load(self) -> list[ItemResult]:
        """Return what was saved since somebody cleared the instance, if at all."""

    def save(self, results: Sequence[ItemResult]) -> None:
        """Add to what was saved.

        :raises Superseded: if Airflow takes nothing from this process any more. On Airflow 2 it does: there the
            `Owner` of the instance tells.
        """

    def delete(self) -> None:
        """Delete all that was saved, also from before somebody cleared the instance."""


def checkpoint_of(context: Context) -> Checkpoint | None:
    """Return the checkpoint of a running instance, `None` if nothing can keep one.

    :param context: its context: of the operator that runs, or as a listener gets it from the instance.
    """
    instance, task = context["ti"], context["task"]
    if not keeps_what_is_done(task):
        return None
    if AIRFLOW_3:
        store = context.get("task_state_store")
        return None if store is None else Stored(store, instance)
    return place_of(
        task.dag.get_task(task.task_id),
        run_id=instance.run_id,
        map_index=instance.map_index,
        max_tries=instance.max_tries,
    )


def done_before(checkpoint: Checkpoint | None, keys: Iterable[str]) -> dict[str, ItemResult]:
    """Return the results that an earlier try of a batch has saved, of those of its items that it still has, by key."""
    if checkpoint is None:
        return {}
    saved = {result["key"]: result for result in checkpoint.load()}
    if not saved:
        # What is there was saved before somebody cleared this instance.
        checkpoint.delete()
    return {key: saved[key] for key in keys if key in saved}


def saving(checkpoint: Checkpoint | None, owner: Owner | None) -> Callable[[list[ItemResult]], None] | None:
    """Return what is to be done each time that some items are done, if anything."""
    if checkpoint is None and owner is None:
        return None

    def save(results: list[ItemResult]) -> None:
        if checkpoint is not None:
            checkpoint.save(results)
        if owner is not None:
            owner.check()

    return save


def outlive_tries(declared: Any) -> bool:
    """Tell whether what is done of a batch is kept where a retry finds it.

    :param declared: the operator, as the DAG keeps it.
    """
    if not keeps_what_is_done(declared):
        return False
    if AIRFLOW_3:
        return has_state_store()
    return place_of(declared, run_id="", map_index=0, max_tries=0) is not None


def carry_over(instances: Sequence[Any], clear: Callable[[], None], session: Any, *, fresh: bool) -> None:
    """Clear instances so that what is done of their batches stays done.

    It needs no operator: what was saved says by itself which instance it is of.

    :param instances: rows of the session, of one run.
    :param clear: clears them, which changes the number of tries that they have.
    :param session: that of the transaction.
    :param fresh: whether all is done again instead.
    """
    if not instances:
        return
    dag_id, run_id = instances[0].dag_id, instances[0].run_id
    if AIRFLOW_3:
        clear()
        indexes: dict[str, set[int]] = {}
        for row in instances:
            indexes.setdefault(row.task_id, set()).add(row.map_index)
        if has_state_store():
            checkpoint_store.count_on(dag_id, run_id, indexes, session, fresh=fresh)
        return
    saved = checkpoint_xcoms.places(dag_id, run_id, session)
    # Before they are cleared: that changes the number.
    those = [
        (row, place)
        for row in instances
        for place in saved.get((row.task_id, row.map_index), ())
        if fresh or place.max_tries == row.max_tries
    ]
    clear()
    for row, place in those:
        if fresh:
            checkpoint_xcoms.delete(place, session)
        else:
            checkpoint_xcoms.keep(place, row.max_tries, session)


def saved_by(
    read: Reading, declared: Any, *, run_id: str, map_index: int, max_tries: int
) -> list[ItemResult]:
    """Return what another instance had saved before its last try was killed.

    :param read: how the run is read.
    :param declared: its operator, as the DAG keeps it.
    """
    if not keeps_what_is_done(declared):
        return []
    if AIRFLOW_3:
        return left_by(read, declared.dag.dag_id, run_id, declared.task_id, map_index)
    place = place_of(declared, run_id=run_id, map_index=map_index, max_tries=max_tries)
    return [] if place is None else place.load()
