"""Where what is done of a batch is kept, so that a retry of its instance finds it.

Where a place for files is configured, there. Else it differs: Airflow 3.3 has a store for it, Airflow 2 lets tasks
write to its tables, and between them there is nothing that outlives a try.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airflow_mapping_kit.checkpoints import xcoms as checkpoint_xcoms
from airflow_mapping_kit.checkpoints.nowhere import Nowhere
from airflow_mapping_kit.checkpoints.xcoms import AmongXComs, place_of
from airflow_mapping_kit.compat import AIRFLOW_3, has_state_store
from airflow_mapping_kit.plans.batches import keeps_what_is_done
from airflow_mapping_kit.plans.mapped import is_collected
from airflow_mapping_kit.results import SUCCESS
from airflow_mapping_kit.storage.place import root

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from airflow.utils.context import Context

    from airflow_mapping_kit.checkpoints.owners import Owner
    from airflow_mapping_kit.checkpoints.part import Place

# Of the instances of this process, by what identifies them: what a listener finds when they have succeeded. Airflow 3.
_at_work: dict[tuple[str, str, str, int], Place] = {}


def place_for(context: Context, owner: Owner | None, *, sliced: bool) -> Place:
    """Return where a running instance keeps what is done of its batch.

    :param context: its context.
    :param owner: whose it is.
    :param sliced: whether its results are to stay there.
    """
    instance, task = context["ti"], context["task"]
    place = _place(context, instance, task, owner, sliced=sliced)
    if AIRFLOW_3:
        _at_work[_identity(instance)] = place
    return place


def succeeded(instance: Any) -> None:
    """Delete what was kept of an instance for a retry, where this process has worked on it. Airflow 3.x.

    On Airflow 2 it stays, like the results: a process of an earlier try that comes back after a freeze is let work
    on an instance that has succeeded, and Airflow deletes its results for that. So it finds what is done.
    """
    place = _at_work.pop(_identity(instance), None)
    if place is not None:
        place.succeeded()


def _place(context: Context, instance: Any, task: Any, owner: Owner | None, *, sliced: bool) -> Place:
    if not keeps_what_is_done(task):
        return Nowhere(owner)
    store, among_xcoms = context.get("task_state_store"), None
    if not AIRFLOW_3:
        among_xcoms = place_of(
            task.dag.get_task(task.task_id),
            run_id=instance.run_id,
            map_index=instance.map_index,
            max_tries=instance.max_tries,
        )
    if root() is not None:
        from airflow_mapping_kit.checkpoints.files import Files

        pointer: Any = None
        if store is not None:
            from airflow_mapping_kit.checkpoints import store as checkpoint_store

            pointer = checkpoint_store.Pointed(store, instance)
        elif among_xcoms is not None:
            pointer = checkpoint_xcoms.Pointed(among_xcoms)
        return Files(instance, pointer, owner)
    if AIRFLOW_3:
        from airflow_mapping_kit.checkpoints.store import Stored

        return Stored(store, instance, leaves=sliced or store is None or is_collected(task))
    return Nowhere(owner) if among_xcoms is None else AmongXComs(among_xcoms, owner)


def _identity(instance: Any) -> tuple[str, str, str, int]:
    return instance.dag_id, instance.run_id, instance.task_id, instance.map_index


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

    Of an instance that succeeded all is done again. It needs no operator: what was saved says by itself which instance
    it is of.

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
            from airflow_mapping_kit.checkpoints import store as checkpoint_store

            checkpoint_store.count_on(dag_id, run_id, indexes, session, fresh=fresh)
        return
    saved = checkpoint_xcoms.places(dag_id, run_id, session)
    # Before they are cleared: that changes the number.
    those = [
        (row, place, fresh or row.state == SUCCESS)
        for row in instances
        for place in saved.get((row.task_id, row.map_index), ())
        if fresh or place.max_tries == row.max_tries
    ]
    clear()
    for row, place, anew in those:
        if not anew:
            checkpoint_xcoms.keep(place, row.max_tries, session)
        elif fresh or place.max_tries == row.max_tries:
            # The number stays where somebody has lowered `retries`. Else the instance deletes it, when it runs.
            checkpoint_xcoms.delete(place, session)
