from __future__ import annotations

import threading
from types import SimpleNamespace

import pytest

from airflow_mapping_kit.listeners import counting

LABEL = "{{ macros.mapping_kit.label('{n}') }}"


@pytest.fixture
def counted(monkeypatch):
    """What is counted, by name without what it is called by place."""
    found = {}
    monkeypatch.setattr(
        "airflow_mapping_kit.compat.count",
        lambda name, tags, number, **_: found.update({name: number}) if tags else None,
    )
    return found


@pytest.mark.parametrize("done", [True, threading.Event(), {"states": 1}])
def test_an_operator_of_somebody_elses_may_call_anything_done(counted, caplog, done):
    task = SimpleNamespace(done=done, map_index_template=LABEL)
    counting.on_task_instance_success(
        SimpleNamespace(task=task, dag_id="flights", task_id="load", map_index=3, get_template_context=dict)
    )
    assert counted == {"mapping_kit.pieces.succeeded": 1}
    assert not caplog.records
