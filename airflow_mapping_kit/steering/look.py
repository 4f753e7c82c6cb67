"""Read, inside a running task, which settings somebody has changed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airflow_mapping_kit.compat import AIRFLOW_3, own_session
from airflow_mapping_kit.reading import supervisor
from airflow_mapping_kit.steering import rows
from airflow_mapping_kit.steering.place import place_of
from airflow_mapping_kit.steering.settings import of_json

if TYPE_CHECKING:
    from collections.abc import Mapping

    from airflow_mapping_kit.steering.place import Place
    from airflow_mapping_kit.steering.settings import Change


def changed(task: Any, run_id: str) -> Mapping[str, Change]:
    """Return the settings of a task in a run that somebody has changed.

    :param task: as its DAG keeps it.
    """
    place = place_of(task, run_id)
    return {} if place is None else of_json(kept(place))


def kept(place: Place) -> Any:
    """Return the settings as they are stored, `None` if there are none."""
    if AIRFLOW_3:  # a task has no database there
        return supervisor.unmapped(place.dag_id, place.run_id, place.anchor, place.settings)
    with own_session() as session:
        return rows.read(session, place, place.settings)
