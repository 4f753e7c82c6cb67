"""DAGs as the database has them, kept as long as they are the same: reading one takes longer than its runs."""

from __future__ import annotations

import threading
from collections import OrderedDict
from typing import Any

from airflow_mapping_kit.compat import DagRow, dag_mark, dag_rows, newest_dag, own_session
from airflow_mapping_kit.ui.refused import Refused

# How many tasks the kept DAGs have together, some 10 kB each.
_MOST_TASKS = 5_000

_kept: OrderedDict[str, tuple[str, Any]] = OrderedDict()
_lock = threading.Lock()


def stored(dag_id: str) -> tuple[Any, DagRow]:
    """Return a DAG as it was last stored, and what Airflow says of it.

    :raises Refused: 404, if it isn't stored.
    """
    with own_session() as session:
        mark = dag_mark(dag_id, session)
        rows = dag_rows([dag_id], session)
        with _lock:
            known = _kept.get(dag_id)
            if known is not None:
                _kept.move_to_end(dag_id)
        if known is not None and mark == known[0]:
            dag = known[1]
        else:
            dag = newest_dag(dag_id, session) if mark is not None else None
    if mark is None or dag is None or not rows:
        with _lock:
            _kept.pop(dag_id, None)
        raise Refused(404, f"There is no DAG {dag_id!r}, or it has been deleted.")
    _keep(dag_id, mark, dag)
    return dag, rows[0]


def _keep(dag_id: str, mark: str, dag: Any) -> None:
    with _lock:
        _kept[dag_id] = (mark, dag)
        _kept.move_to_end(dag_id)
        tasks = sum(len(kept.task_dict) for _, kept in _kept.values())
        while tasks > _MOST_TASKS and len(_kept) > 1:
            _, (_, left) = _kept.popitem(last=False)
            tasks -= len(left.task_dict)
