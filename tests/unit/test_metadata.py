from __future__ import annotations

import sys
from importlib.metadata import PathDistribution
from pathlib import Path

import pytest

import airflow_mapping_kit
from airflow_mapping_kit.provider_info import get_provider_info

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def project():
    return tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


@pytest.fixture(scope="module")
def on_the_path():
    """What Python finds of the kit where the repository is on PYTHONPATH and nothing was installed."""
    return PathDistribution(ROOT / "airflow_mapping_kit.egg-info")


def pins(*path):
    lines = (line.partition(";")[0].strip() for line in ROOT.joinpath(*path).read_text().splitlines())
    return {line for line in lines if line and not line.startswith("#")}


def test_the_metadata_on_the_path_is_that_of_the_project(project, on_the_path):
    assert on_the_path.metadata["Name"] == project["name"]
    assert on_the_path.metadata["Summary"] == project["description"]
    assert on_the_path.version == airflow_mapping_kit.__version__


def test_the_entry_points_on_the_path_are_those_of_the_project(project, on_the_path):
    declared = {
        (group, *entry) for group, entries in project["entry-points"].items() for entry in entries.items()
    }
    assert {(entry.group, entry.name, entry.value) for entry in on_the_path.entry_points} == declared


def test_the_provider_has_the_name_and_the_version_of_the_project(project):
    info = get_provider_info()
    assert info["package-name"] == project["name"]
    assert info["versions"][0] == airflow_mapping_kit.__version__


def test_an_astro_project_pins_what_the_constraints_pin():
    assert pins("requirements.txt") <= pins("constraints", "airflow-2.10.5.txt")
