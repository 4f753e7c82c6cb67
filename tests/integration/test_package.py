"""The package as it is installed, and what Airflow knows of it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import sysconfig
from importlib.metadata import distributions, version
from pathlib import Path

import airflow_mapping_kit


def airflow(*arguments):
    done = subprocess.run(
        [sys.executable, "-m", "airflow", *arguments], capture_output=True, text=True, cwd="/", check=True
    )
    return done.stdout


def test_what_is_tested_is_the_installed_wheel_not_the_source_tree():
    installed = Path(sysconfig.get_path("purelib")).resolve()
    assert Path(airflow_mapping_kit.__file__).resolve().is_relative_to(installed)


def test_the_wheel_holds_the_package_and_its_type_marker_and_nothing_else():
    # In the checkout, which other tests of this process may have put in front, Astro finds the kit by another file.
    (installed,) = distributions(name="airflow-mapping-kit", path=[sysconfig.get_path("purelib")])
    files = {str(path) for path in installed.files}
    assert "airflow_mapping_kit/py.typed" in files
    tops = {path.split("/")[0] for path in files if not path.startswith("..")}
    assert tops == {"airflow_mapping_kit", f"airflow_mapping_kit-{version('airflow-mapping-kit')}.dist-info"}


def test_airflow_lists_the_provider():
    providers = json.loads(airflow("providers", "list", "--output", "json"))
    (kit,) = [provider for provider in providers if provider["package_name"] == "airflow-mapping-kit"]
    assert kit["version"] == airflow_mapping_kit.__version__


def test_airflow_lists_the_configuration():
    listed = airflow("config", "list", "--section", "mapping_kit", "--include-descriptions")
    assert "[mapping_kit]" in listed
    assert "scratch_folder" in listed


def test_airflow_lists_the_plugin_with_the_macro():
    (plugin,) = [p for p in json.loads(airflow("plugins", "--output", "json")) if p["name"] == "mapping_kit"]
    assert "airflow_mapping_kit.plugin.label" in str(plugin["macros"])


def test_airflow_lists_the_trigger():
    assert "airflow_mapping_kit.operators.dagrun.trigger" in airflow("providers", "triggers")


def test_no_module_of_a_dag_file_imports_an_optional_sdk():
    program = """
import importlib, sys
import airflow.decorators, airflow.models.dagbag, airflow.operators.python, airflow.plugins_manager
for module in sys.argv[1:]:
    before = set(sys.modules)
    importlib.import_module(f"airflow_mapping_kit.{module}")
    print(module, *sorted({name.split(".")[0] for name in set(sys.modules) - before}))
"""
    modules = [
        "partitions",
        "labels",
        "generators",
        "reload",
        "operators.dagrun",
        "operators.duckdb",
        "plugin",
        "provider_info",
    ]
    done = subprocess.run(
        [sys.executable, "-c", program, *modules], capture_output=True, text=True, cwd="/", check=True
    )
    imported = [line.split() for line in done.stdout.splitlines()[-len(modules) :]]
    assert [module for module, *_ in imported] == modules
    sdks = {"boto3", "botocore", "snowflake", "duckdb", "pandas", "numpy", "pyarrow"}
    assert [(module, sdks & set(names)) for module, *names in imported if sdks & set(names)] == []


def test_a_scheduler_imports_once_what_its_forks_need_and_no_optional_sdk():
    program = """
import sys
from airflow_mapping_kit import plugin
assert plugin.starting in plugin.MappingKitPlugin.listeners
sys.argv = ["airflow", "tasks", "run"]
plugin.starting.on_starting(None)
before = set(sys.modules)
sys.argv = ["airflow", "scheduler"]
plugin.starting.on_starting(None)
print(sorted(set(sys.modules) - before))
"""
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, cwd="/", check=True
    )
    imported = eval(done.stdout.splitlines()[-1])
    assert {"airflow_mapping_kit.operators.batched.work", "airflow_mapping_kit.generators"} <= set(imported)
    assert not {name.split(".")[0] for name in imported} & {"boto3", "duckdb", "pandas", "pyarrow"}


def test_the_pure_modules_import_no_airflow():
    program = """
import sys
from airflow_mapping_kit import exceptions, labels, partitions
print('airflow' in sys.modules)
"""
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, cwd="/", check=True
    )
    assert done.stdout == "False\n"


def test_a_deployment_can_switch_off_listeners_and_page():
    program = """
from airflow_mapping_kit.plugin import MappingKitPlugin
plugin = MappingKitPlugin()
print(plugin.listeners, plugin.flask_blueprints + plugin.fastapi_apps, [macro.__name__ for macro in plugin.macros])
"""
    off = {f"AIRFLOW__MAPPING_KIT__{name}": "False" for name in ("LISTENERS", "PAGE")}
    done = subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True,
        text=True,
        cwd="/",
        check=True,
        env={**os.environ, **off},
    )
    assert done.stdout.splitlines()[-1].startswith("[] [] ['label', 'composed'")
