"""A name of Airflow's own that is missing switches off the part of the kit that needs it, and nothing else."""

from __future__ import annotations

import json
import os
import runpy
import subprocess
import sys

import pytest

from airflow_mapping_kit import policy
from airflow_mapping_kit.compat import parts
from airflow_mapping_kit.compat.parts import AIRFLOW_3

# A name of each part, and those of its neighbours that need it too.
NAMES = {
    parts.LABELS: f"{parts._BASE}:BaseOperator._BaseOperator__init_kwargs",
    parts.EARLY_LABELS: "airflow.models.taskmap:TaskMap",
    parts.GENERATORS: f"{parts._DECORATOR}:task_decorator_factory",
    parts.BATCHES: f"{parts._CONTEXT}:context_merge",
    parts.COLLECT: "airflow.sdk.execution_time.task_runner:RuntimeTaskInstance.get_task_states"
    if AIRFLOW_3
    else "airflow.models.xcom:XCom.value",
    parts.CHILD_RUNS: "airflow.sdk.execution_time.comms:TriggerDagRun"
    if AIRFLOW_3
    else "airflow.jobs.job:most_recent_job",
    **({parts.PERIODS: parts.NEEDS[parts.PERIODS][0]} if AIRFLOW_3 else {}),
    parts.COMMAND_LINE: "airflow.dag_processing.dagbag:BundleDagBag"
    if AIRFLOW_3
    else "airflow.models.dagbag:DagBag",
    parts.LITERALS: "airflow.listeners.spec.dagrun:on_dag_run_running(dag_run)",
    parts.MASKING: parts.NEEDS[parts.MASKING][0],
    parts.STALE: f"airflow.models.{'asset:DagScheduleAsset' if AIRFLOW_3 else 'dataset:DagScheduleDataset'}Reference",
    # Flask's views have no other way to say who asks.
    parts.PAGE: "airflow.api_fastapi.core_api.security:GetUserDep"
    if AIRFLOW_3
    else "airflow.www.extensions.init_auth_manager:get_auth_manager",
    "everything": f"{parts._MAPPED}:MappedOperator._get_specified_expand_input",
    "nothing": "",
}
# Imports Airflow once; then, a process each, takes a name away and looks what is left of the kit.
PROGRAM = """
import importlib, json, logging, os, sys, types
import airflow.models, airflow.models.xcom, airflow.models.taskinstance, airflow.models.taskmap, airflow.models.dagbag
import airflow.models.dagrun, airflow.jobs.job, airflow.plugins_manager, airflow.policies, airflow.listeners
import click, httpx, jinja2.nativetypes, rich, sqlalchemy

# What Airflow itself needs of a name it has by now.
if airflow.__version__.startswith("2."):
    import airflow.decorators, airflow.operators.python
else:
    import airflow.dag_processing.bundles.manager, airflow.dag_processing.dagbag
    from airflow.sdk import DAG, dag, get_current_context, task, task_group
    task.virtualenv

def take_away(place):
    module, _, path = place.partition(":")
    path, _, arguments = path.partition("(")
    owner, _, attribute = path.partition(".")
    module = importlib.import_module(module)
    if arguments:
        setattr(module, owner, lambda another: None)
        return
    if not attribute:
        delattr(module, owner)
        return
    for base in getattr(module, owner).__mro__:
        if attribute in vars(base):
            type.__delattr__(base, attribute)
        vars(base).get("__annotations__", {}).pop(attribute, None)
        code = getattr(vars(base).get("__init__"), "__code__", None)
        if attribute in getattr(code, "co_names", ()):
            names = tuple("gone" if name == attribute else name for name in code.co_names)
            base.__init__.__code__ = code.replace(co_names=names)

def left():
    said = []
    class Said(logging.Handler):
        def emit(self, record):
            said.append(record.getMessage())
    logging.getLogger("airflow_mapping_kit").addHandler(Said())
    found = {}
    def can(part, do):
        try:
            found[part] = do() or None
        except ImportError as error:
            found[part] = str(error)
    can("generators", lambda: importlib.import_module("airflow_mapping_kit.generators") and None)
    if not found["generators"]:
        can("the periods of scheduled runs", lambda: importlib.import_module("airflow_mapping_kit.reload") and None)
    can("batches", lambda: importlib.import_module("airflow_mapping_kit.operators.batched") and None)
    can("collect", lambda: importlib.import_module("airflow_mapping_kit.fan_in") and None)
    can("child runs", lambda: importlib.import_module("airflow_mapping_kit.operators.dagrun") and None)
    # What Airflow itself loads has to come, whatever is missing.
    from airflow_mapping_kit import policy, plugin
    plugin.MappingKitPlugin.on_load()
    found["labels"] = None if plugin.MappingKitPlugin.macros else "switched off"
    from airflow_mapping_kit.plans import early_labels
    made = plugin.MappingKitPlugin()
    found["the page Partitions"] = None if made.flask_blueprints or made.fastapi_apps else "switched off"
    listens = {one.__name__.rpartition(".")[2] for one in plugin.MappingKitPlugin.listeners}
    found["early labels of literals"] = None if "runs" in listens else "switched off"
    found["early labels"] = None if early_labels.possible() else "switched off"
    from airflow_mapping_kit.compat import redacted
    found["the texts of errors"] = None if redacted("a text") == "a text" else "switched off"
    from airflow_mapping_kit.history.changes import upstream
    follows = types.SimpleNamespace(asset_condition=True, dataset_condition=True)
    reads = upstream(types.SimpleNamespace(dag_id="follows", timetable=follows), [])
    found["stale partitions"] = None if reads else "switched off"
    from airflow_mapping_kit.cli import lookup
    def command():
        try:
            lookup.declared_dag("no_such_dag")
        except click.ClickException:
            pass
    can("the command mapping-kit", command)
    return {"found": found, "said": said}

for name, place in json.load(sys.stdin).items():
    reading, writing = os.pipe()
    child = os.fork()
    if not child:
        if place:
            take_away(place)
        answer = json.dumps(left())
        os.write(writing, answer.encode())
        os._exit(0)
    os.close(writing)
    with os.fdopen(reading) as answered:
        print(json.dumps([name, json.loads(answered.read() or "null")]))
    os.waitpid(child, 0)
"""


@pytest.fixture(scope="module")
def left(metadata_db, tmp_path_factory):
    """Give what is left of the kit without each of the names."""
    env = {**os.environ, "AIRFLOW__CORE__DAGS_FOLDER": str(tmp_path_factory.mktemp("dags"))}
    program = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", PROGRAM],
        input=json.dumps(NAMES),
        env=env,
        capture_output=True,
        text=True,
        check=True,
    )
    return dict(json.loads(line) for line in program.stdout.splitlines() if line.startswith('["'))


def test_all_that_is_needed_is_there(left):
    assert not any(left["nothing"]["found"].values())
    assert left["nothing"]["said"] == []
    assert [place for places in parts.NEEDS.values() for place in places if not parts._is_there(place)] == []


@pytest.mark.parametrize("part", [name for name in NAMES if name != "nothing"])
def test_a_missing_name_switches_off_the_parts_that_need_it_and_no_other(left, part):
    place = NAMES[part]
    off = {name for name, why in left[part]["found"].items() if why}
    needed_by = {name for name, places in parts.NEEDS.items() if place in places}
    assert off == needed_by
    assert part in off or part == "everything"
    # One message a part, by name.
    said = [message for message in left[part]["said"] if "has switched off" in message]
    assert len(said) == len(off)
    for name in off:
        (message,) = [one for one in said if f"has switched off {name};" in one]
        assert place.replace(":", ".") in message


@pytest.mark.parametrize("change", ["no hook", "other arguments", "no mark"])
def test_airflow_starts_where_its_policy_hooks_are_others(monkeypatch, caplog, change):
    from airflow import policies

    changed = {
        "no hook": lambda patched: patched.delattr(policies, "task_policy"),
        "other arguments": lambda patched: patched.setattr(policies, "task_policy", lambda operator: None),
        "no mark": lambda patched: patched.delattr(policies, "hookimpl"),
    }
    marks = {}
    for when in ("now", change):
        with monkeypatch.context() as patched:
            changed.get(when, lambda _: None)(patched)
            module = runpy.run_path(policy.__file__)
        marks[when] = {
            name
            for name in ("task_policy", "task_instance_mutation_hook")
            if hasattr(module[name], "airflow.policy_impl")
        }
    assert marks["now"] == {"task_policy", "task_instance_mutation_hook"}
    assert marks[change] == (set() if change == "no mark" else {"task_instance_mutation_hook"})
    assert "no policy hook task_policy(task)" in caplog.text


def test_labels_early_labels_and_the_rest_are_parts_of_their_own():
    alone = [
        {name for name, places in parts.NEEDS.items() if place in places}
        for part, place in NAMES.items()
        if part in parts.NEEDS
    ]
    assert {parts.GENERATORS} in alone
    assert {parts.CHILD_RUNS} in alone
    assert {parts.EARLY_LABELS} in alone
    assert {parts.LABELS} in alone
