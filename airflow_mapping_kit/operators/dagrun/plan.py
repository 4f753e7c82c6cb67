"""Which child runs an instance is to start: their keys, their run ids, and what each is told."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from airflow_mapping_kit.compat import refused_run_id
from airflow_mapping_kit.exceptions import ChildRunError
from airflow_mapping_kit.partitions.pieces import distinct
from airflow_mapping_kit.partitions.sequences import shown
from airflow_mapping_kit.plans.planned import key_of

# All others are allowed by Airflow's default for the run ids of people and tasks; 3.3 refuses two dots.
_OTHER = re.compile(r"[^A-Za-z0-9_.~:+-]+|\.{2,}")
_DIGEST_LENGTH = 16
# With these an id stays below the 250 characters of Airflow's column, and a folder `run_id=<id>` of logs below
# the 255 that a file system takes.
_MAX_DAG_ID, _MAX_RUN_ID, _MAX_KEY = 60, 70, 60


class Parent(NamedTuple):
    """The task instance that child runs belong to."""

    dag_id: str
    run_id: str
    task_id: str
    map_index: int


class ChildRun(NamedTuple):
    """One child run.

    :param key: the key of its item, equal ones told apart.
    :param run_id: its run id, the same whenever it is asked for.
    :param conf: what it is told.
    """

    key: str
    run_id: str
    conf: dict[str, Any]


def planned(
    items: Any, *, conf: Mapping[str, Any] | None, item_key: str | None, parent: Parent
) -> list[ChildRun]:
    """Return the child runs of an instance, in the order of its items.

    :param items: JSON values.
    :param conf: what every run is told.
    :param item_key: the name under which a run is told its item; `None` adds the entries of the item itself.
    :raises ChildRunError: if the items are no list, or an item is nothing that a run can be told.

    Example: for the item `17` the run is told `{"item": 17}`, and its key is `item=17`.
    """
    if not isinstance(items, Sequence) or isinstance(items, str | bytes):
        raise ChildRunError(
            f"items={shown(items)} is no list. Give a list, or what a task returned, items=orders(); a template "
            f"has to leave text that is one, such as '[17, 18]'."
        )
    if not isinstance(conf, Mapping | None):
        raise ChildRunError(f"conf={shown(conf)} is no dict: write conf={{'date': '{{{{ ds }}}}'}}.")
    told = [_told(index, item, conf or {}, item_key) for index, item in enumerate(items)]
    keys = distinct(key_of({item_key or "item": item}) for item in items)
    return [ChildRun(key, run_id_of(parent, key), one) for key, one in zip(keys, told, strict=True)]


def check_run_ids(runs: Sequence[ChildRun]) -> None:
    """Refuse run ids that the deployment does not allow, before any of them is started.

    :raises ChildRunError: naming the first of them.
    """
    refused = refused_run_id(run.run_id for run in runs)
    if refused:
        run_id, pattern = refused
        raise ChildRunError(
            f"[scheduler] allowed_run_id_pattern, {pattern!r}, does not allow {run_id!r}, the run id of a child run. "
            f"No run was started. Let it also allow 'per_item__' followed by letters, digits and any of _.~:+-"
        )


def run_id_of(parent: Parent, key: str) -> str:
    """Return the run id of an item's child run.

    It tells the DAG, the run and the item to whoever reads it, as far as there is room; the digest at its end
    stands for all of them in full, and for the task.

    Example: `order=17` of the run `manual__2024-01-01` of `shop` gives
    `per_item__shop__manual__2024-01-01__order-17__` and 16 hexadecimal digits.
    """
    digest = hashlib.sha256(json.dumps([*parent, key]).encode()).hexdigest()[:_DIGEST_LENGTH]
    return f"{prefix_of(parent.dag_id, parent.run_id)}{_OTHER.sub('-', key[:_MAX_KEY])}__{digest}"


def prefix_of(dag_id: str, run_id: str) -> str:
    """Return what the run ids of all child runs of a run begin with: `per_item__shop__manual__2024-01-01__`."""
    # An id that began like one of Airflow's own, `scheduled__`, would make the run one of that kind.
    parts = (_OTHER.sub("-", part) for part in (dag_id[:_MAX_DAG_ID], run_id[:_MAX_RUN_ID]))
    return f"{'__'.join(('per_item', *parts))}__"


def _told(index: int, item: Any, conf: Mapping[str, Any], item_key: str | None) -> dict[str, Any]:
    if item_key is None and not isinstance(item, Mapping):
        raise ChildRunError(
            f"items[{index}] is {shown(item)}, which has no names: with item_key=None an item is a dict. "
            f"Leave item_key out, and the child finds it as dag_run.conf['item']."
        )
    own = item if item_key is None else {item_key: item}
    twice = sorted(map(str, conf.keys() & own.keys()))
    if twice:
        raise ChildRunError(
            f"conf and items[{index}] both have {', '.join(map(repr, twice))}: rename it in conf, or choose "
            f"another item_key."
        )
    try:
        told: dict[str, Any] = json.loads(json.dumps({**conf, **own}))
    except (TypeError, ValueError) as error:
        raise ChildRunError(
            f"items[{index}] = {shown(item)} with conf={shown(dict(conf))} is no JSON: {error}. "
            f"Make it text, numbers, booleans, None, and lists and dicts of them."
        ) from error
    return told
