"""The lint in programs that other people wrote: flake8, readers of SARIF, pre-commit."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from importlib.metadata import distribution
from pathlib import Path

import jsonschema
import pytest
import yaml

import airflow_mapping_kit
from airflow_mapping_kit.lint.config import Settings
from airflow_mapping_kit.lint.lint import look
from airflow_mapping_kit.lint.mending import replacements
from airflow_mapping_kit.lint.report import written
from airflow_mapping_kit.lint.rules import RULES

HERE = Path(__file__).parent
ROOT = HERE.parents[2]
EVAL = ROOT / "tests" / "unit" / "lint" / "eval"
BAD = """\
from airflow.operators.trigger_dagrun import TriggerDagRunOperator

name = "é"; send = TriggerDagRunOperator.partial(task_id="send", trigger_dag_id="sub").expand(conf=[{"n": 1}])
"""


@pytest.fixture
def flake8(tmp_path):
    """Return a function that runs flake8 with the extension, and nothing else that is installed."""
    packages = tmp_path / "packages"
    packages.mkdir()
    (packages / "airflow_mapping_kit").symlink_to(Path(airflow_mapping_kit.__file__).parent)
    for name in ("flake8", "mccabe", "pycodestyle", "pyflakes"):
        files = distribution(name).files
        for top in {one.parts[0] for one in files if not one.parts[0].startswith(("..", "__"))}:
            (packages / top).symlink_to(distribution(name).locate_file(top))
    about = "airflow_mapping_kit.egg-info"  # the entry points
    (packages / about).symlink_to(ROOT / about)
    project = tmp_path / "project"
    (project / "legacy").mkdir(parents=True)

    def run(*arguments, **files):
        for name, content in files.items():
            (project / f"{name}.py").write_bytes(content if isinstance(content, bytes) else content.encode())
        return subprocess.run(
            [sys.executable, "-S", "-m", "flake8", "--jobs=1", *arguments],
            cwd=project,
            env={**os.environ, "PYTHONPATH": str(packages), "PYTHONWARNINGS": "ignore"},
            capture_output=True,
            text=True,
            check=False,
        )

    return run


def places(done):
    assert done.stderr == ""
    return [tuple(line.split(" ")[:2]) for line in done.stdout.splitlines()]


def test_flake8_finds_what_the_lint_finds_in_files_of_any_form(flake8):
    done = flake8(
        "--select=MAP0",
        utf_8=BAD,
        bom=BAD.encode("utf-8-sig"),
        crlf=BAD.replace("\n", "\r\n"),
        latin_1=f"# -*- coding: latin-1 -*-\n{BAD}".encode("latin-1"),
        meant=BAD.replace("}])", "}])  # noqa: MAP001"),
        off=f"# mapping-kit: off\n{BAD}",
        broken="import airflow\nif:\n",
    )
    assert sorted(places(done)) == [
        ("./bom.py:3:20:", "MAP001"),
        ("./crlf.py:3:20:", "MAP001"),
        ("./latin_1.py:4:20:", "MAP001"),
        ("./utf_8.py:3:20:", "MAP001"),
    ]


def test_flake8_asks_rules_that_are_off_only_where_it_is_told_to(flake8):
    files = {"looped": (EVAL / "map402.py").read_text(), "plain": (EVAL / "map108.py").read_text()}
    asked = {rule for _, rule in places(flake8("--extend-select=MAP108,MAP402", **files))}
    assert {"MAP108", "MAP402"} <= asked
    by_default = {rule for _, rule in places(flake8())}
    assert not {"MAP108", "MAP402"} & by_default


def test_flake8_reads_the_settings_of_the_project(flake8, tmp_path):
    (tmp_path / "project" / "pyproject.toml").write_text(
        '[tool.mapping-kit.lint]\nper-file-ignores = {"legacy/*" = ["MAP0"]}\n'
    )
    assert places(flake8("--select=MAP0", new=BAD, **{"legacy/old": BAD})) == [("./new.py:3:20:", "MAP001")]
    (tmp_path / "project" / "pyproject.toml").write_text("[tool.mapping-kit.lint]\nignor = []\n")
    done = flake8("--select=MAP0")
    assert done.returncode == 1
    assert "has no setting 'ignor'. Did you mean 'ignore'?" in done.stderr


def test_sarif_is_as_its_schema_wants_it(tmp_path):
    schema = json.loads((HERE / "sarif-2.1.0-rtm.5.json").read_text())
    broken = tmp_path / "broken file.py"
    broken.write_text("import airflow\nif:\n")
    settings = Settings(select=tuple(RULES))
    findings = look([*sorted(EVAL.glob("*.py")), broken], settings).findings
    assert {one.rule for one in findings} >= {id_ for id_, rule in RULES.items() if rule.check} | {"MAP000"}
    fixes = replacements(findings, settings)
    assert {one.rule for one in fixes} >= {"MAP001", "MAP003", "MAP101", "MAP108"}
    for some in (findings, []):
        jsonschema.Draft4Validator(schema).validate(json.loads(written(some, "sarif", fixes)))


def test_hooks_of_pre_commit_are_programs_that_run_with_nothing_installed(tmp_path):
    hooks = {one["id"]: one for one in yaml.safe_load((ROOT / ".pre-commit-hooks.yaml").read_text())}
    (tmp_path / "dag.py").write_text(BAD)
    found = {}
    for name, hook in hooks.items():
        program, *arguments = hook["entry"].split()
        files = ["dag.py"] if hook.get("pass_filenames", True) else []
        command = [str(ROOT / program), *arguments, *files]
        # The system's python3 may have packages of its own: none of them is asked for.
        environment = {"PATH": f"{Path(sys.executable).parent}:/usr/bin:/bin", "PYTHONNOUSERSITE": "1"}
        found[name] = subprocess.run(
            command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
        )
    assert {name: (done.returncode, done.stderr) for name, done in found.items()} == {
        "mapping-kit-lint": (1, "1 finding in 1 file.\n"),
        "mapping-kit-lint-copies": (0, "0 findings in 1 file.\n"),
    }
    assert found["mapping-kit-lint"].stdout.startswith("dag.py:3:20 MAP001 ")
