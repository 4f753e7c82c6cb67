"""Where instances agree when their calls start: in the database, in storage, or nowhere."""

from __future__ import annotations

import logging
from functools import partial
from typing import TYPE_CHECKING, Any

from airflow_mapping_kit.compat import AIRFLOW_3
from airflow_mapping_kit.exceptions import StorageError
from airflow_mapping_kit.reading import tables
from airflow_mapping_kit.steering.in_storage import InStorage
from airflow_mapping_kit.steering.in_tables import InTables
from airflow_mapping_kit.steering.slots import Alone
from airflow_mapping_kit.storage.files import tells_the_first
from airflow_mapping_kit.storage.place import folder, root

if TYPE_CHECKING:
    from airflow_mapping_kit.steering.place import Place
    from airflow_mapping_kit.steering.slots import Slots

log = logging.getLogger(__name__)


def slots_of(place: Place | None, instance: Any, declared: Any) -> Slots:
    """Return where a running instance gets the times of its calls.

    :param place: where things are kept of its task, if anywhere.
    :param declared: its operator, as the DAG keeps it.
    """
    if place is not None and not AIRFLOW_3:
        return InTables(place)
    alone = partial(_alone, instance, declared)
    try:
        there = root()
    except StorageError as error:
        log.warning("%s", error)
        there = None
    if there is None or not tells_the_first(there):
        return alone()
    return InStorage(f"{folder(instance.dag_id, instance.run_id, declared.task_id)}/rate", alone)


def _alone(instance: Any, declared: Any) -> Slots:
    share = _at_a_time(instance, declared)
    log.warning(
        "Instances of %s can't share a rate here, so each of them gets an equal part of it: one of %d. To let a "
        "busy instance use the part of an idle one, set [mapping_kit] storage to a folder or to an S3 bucket with "
        "conditional writes. Or set max_active_tis_per_dagrun to the number of instances that run at a time: then "
        "there are no more parts than that.",
        declared.task_id,
        share,
    )
    return Alone(share)


def _at_a_time(instance: Any, declared: Any) -> int:
    """Return how many instances of a task can run at the same time in a run."""
    dag_id, run_id, task_id = instance.dag_id, instance.run_id, declared.task_id
    if AIRFLOW_3:
        number = int(instance.get_ti_count(dag_id, task_ids=[task_id], run_ids=[run_id]))
    else:
        number = len(tables.instances(dag_id, run_id, [task_id])[task_id])
    most = getattr(declared, "max_active_tis_per_dagrun", None)
    return max(1, number if most is None else min(number, int(most)))
