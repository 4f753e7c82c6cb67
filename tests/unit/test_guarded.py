from __future__ import annotations

import inspect
import logging
import subprocess
import sys
import uuid
from types import SimpleNamespace

import pytest

from airflow_mapping_kit.compat import AIRFLOW_3
from airflow_mapping_kit.guarded import guarded


@guarded
def hook(subject, error=None):
    """Do what a hook does."""
    raise error or ValueError("no good")


def subject(**ids):
    return SimpleNamespace(**{"dag_id": uuid.uuid4().hex, "task_id": "work", **ids})


def test_what_a_hook_raises_is_logged_once_a_task_and_cause(caplog):
    one = subject()
    with caplog.at_level(logging.WARNING):
        for _ in range(1000):
            hook(one)
        assert len(caplog.records) == 1
        hook(one, KeyError("another cause"))
        hook(subject())
    assert len(caplog.records) == 3
    assert "hook went wrong" in caplog.text
    assert "no good" in caplog.text


def test_what_is_logged_shows_no_secret_and_forges_no_line(caplog):
    if AIRFLOW_3:
        from airflow.sdk._shared.secrets_masker import mask_secret
    else:
        from airflow.utils.log.secrets_masker import mask_secret
    mask_secret("zyzzyva-guarded")
    hook(subject(), ValueError("zyzzyva-guarded\n2026-11-25 INFO - all is well\x1b[2J"))
    (record,) = caplog.records
    assert record.exc_info is None
    assert record.getMessage().splitlines()[-2:] == [
        "  ValueError: ***",
        r"  2026-11-25 INFO - all is well\x1b[2J",
    ]


@pytest.mark.parametrize("error", [SystemExit(1), KeyboardInterrupt()])
def test_what_ends_a_process_still_ends_it(error):
    with pytest.raises(type(error)):
        hook(subject(), error)


def test_a_subject_that_does_not_even_tell_its_ids_is_no_reason_to_raise(caplog):
    class Gone:
        def __getattr__(self, name):
            raise RuntimeError("its session is gone")

        def __str__(self):
            raise RuntimeError("its session is gone")

    hook(Gone(), OSError("the first of this kind"))
    assert "went wrong for a Gone" in caplog.text


def test_pluggy_sees_the_arguments_of_the_hook():
    assert list(inspect.signature(hook).parameters) == ["subject", "error"]


def test_a_policy_imports_nothing_of_the_kit_but_what_guards_it_and_bears_with_the_rest_missing():
    # What the kit is, Airflow 3 asks while it reads its configuration, before anything else.
    program = """
import sys
NEEDED = ("policy", "guarded", "provider_info")
class Broken:
    def find_spec(self, name, path=None, target=None):
        if name.startswith("airflow_mapping_kit.") and name.rpartition(".")[2] not in NEEDED:
            raise ImportError(f"{name} is broken")
sys.meta_path.insert(0, Broken())
import airflow_mapping_kit.policy as policy
assert {n for n in sys.modules if n.startswith("airflow_mapping_kit.")} - {"airflow_mapping_kit.provider_info"} == {
    "airflow_mapping_kit.policy", "airflow_mapping_kit.guarded"
}
from types import SimpleNamespace
task = SimpleNamespace(map_index_template="{{ macros.mapping_kit.label('') }}", task_id="work", dag_id="dag")
instance = SimpleNamespace(task=task, map_index=0, run_id="run", rendered_map_index=None)
policy.task_policy(task)
policy.task_instance_mutation_hook(instance)
assert instance.rendered_map_index is None
print("went on")
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.stdout.strip().endswith("went on"), done.stderr
    assert done.stderr.count("went wrong") + done.stdout.count("went wrong") == 2
