"""The command: what it says, how it ends, and what it makes of files that are no DAGs at all."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

import airflow_mapping_kit
from airflow_mapping_kit.lint.program import main

HERE = Path(__file__).parent
DAGS = Path(__file__).parents[3] / "dags"
BAD = """\
from airflow.operators.trigger_dagrun import TriggerDagRunOperator

send = TriggerDagRunOperator.partial(task_id="send", trigger_dag_id="sub").expand(conf=[{"n": 1}, {"n": 2}])
"""


@pytest.fixture
def project(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def run(capsys):
    def runs(*arguments):
        status = main(arguments)
        said = capsys.readouterr()
        return status, said.out, said.err

    return runs


@pytest.fixture
def found(run):
    """Return the status, and rule, file and line of what is found."""

    def finds(*arguments):
        status, out, _ = run("--output", "json", *arguments)
        return status, [(one["rule"], one["path"], one["line"]) for one in json.loads(out)]

    return finds


def test_the_projects_own_dags_are_clean(run):
    status, out, err = run(str(DAGS))
    number = len(list(DAGS.rglob("*.py")))
    assert (status, out, err) == (0, "", f"0 findings in {number} files.\n")


def test_a_finding_shows_its_place_its_reason_and_its_remedy(project, run):
    Path("dag.py").write_text(BAD)
    status, out, err = run()
    assert (status, err) == (1, "1 finding in 1 file.\n")
    first, *_ = out.splitlines()
    assert first.startswith("dag.py:3:8 MAP001 Each mapped instance starts a run of another DAG, 'sub'")
    assert "TriggerDagRunPerItemOperator. (mapping-kit lint --explain MAP001)" in out


def test_what_a_line_a_file_or_the_project_says_is_meant_is_not_found(project, run):
    Path("line.py").write_text(BAD.replace("2}])", "2}])  # noqa: MAP001"))
    Path("file.py").write_text(f"# mapping-kit: off\n{BAD}")
    Path("legacy").mkdir()
    Path("legacy/dag.py").write_text(BAD)
    Path("sub").mkdir()
    Path("sub/dag.py").write_text(BAD)
    Path("pyproject.toml").write_text(
        '[tool.mapping-kit.lint]\nexclude = ["legacy"]\nper-file-ignores = {"sub/*" = ["MAP0"]}\n'
    )
    assert run() == (0, "", "0 findings in 3 files.\n")
    # pre-commit names each file that changed, whatever the project leaves out.
    assert run("legacy/dag.py") == (0, "", "0 findings in 0 files.\n")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["nowhere"], "nowhere: this file or folder doesn't exist.\n"),
        (["--select", "MAP112"], "--select: there is no rule 'MAP112'. Did you mean MAP102 or MAP110?"),
        (["--ignore", "map1,MAP990"], "--ignore: there is no rule 'MAP990'."),
        (["--explain", "map011"], "--explain: there is no rule 'MAP011'. Did you mean MAP001?\n"),
    ],
)
def test_arguments_that_cannot_be_end_with_2_and_name_near_ones(project, run, arguments, said):
    status, out, err = run(*arguments)
    assert (status, out) == (2, "")
    assert err.startswith(said)


@pytest.mark.parametrize(
    ("setting", "said"),
    [
        ('selct = ["MAP0"]', "has no setting 'selct'. Did you mean 'select'?"),
        ('colour = "red"', "has no setting 'colour'. The settings are select, extend-select, "),
        ('select = "MAP001"', "select is 'MAP001': write a list of strings."),
        ('ignore = ["MAP112"]', "there is no rule 'MAP112'. Did you mean MAP102 or MAP110?"),
        ('per-file-ignores = ["MAP001"]', 'write "tests/*" = ["MAP001"].'),
        ("select = [", "it is not valid TOML: "),
    ],
)
def test_settings_that_cannot_be_end_with_2_and_name_near_ones(project, run, setting, said):
    Path("pyproject.toml").write_text(f"[tool.mapping-kit.lint]\n{setting}\n")
    status, out, err = run()
    assert (status, out) == (2, "")
    assert err.startswith(str(project / "pyproject.toml"))
    assert said in err


@pytest.mark.parametrize(
    ("data", "line"),
    [
        (b"import airflow\nname = '\xff\xfe'\n", 1),
        (b"import airflow\nprint 'Python 2'\n", 2),
        (b"import airflow\n{% for dag in dags %}\n{{ dag }}\n{% endfor %}\n", 2),
        (b"# -*- coding: klingon -*-\nimport airflow\n", 1),
        (b"import airflow\nx = 1\x00\n", 1),
        (b"import airflow\nx = " + b"(" * 5000 + b"\n", 2),
    ],
    ids=["not UTF-8", "Python 2", "Jinja", "unknown encoding", "null byte", "nested"],
)
def test_a_file_that_is_no_python_is_named_and_stops_nothing(project, found, data, line):
    Path("a.py").write_bytes(data)
    Path("b.py").write_text(BAD)
    status, [first, second] = found()
    assert (status, first[:2], second) == (1, ("MAP000", "a.py"), ("MAP001", "b.py", 3))
    assert first[2] == line


def test_places_are_right_behind_a_byte_order_mark(project, found):
    Path("bom.py").write_bytes(BAD.encode("utf-8-sig"))
    assert found() == (1, [("MAP001", "bom.py", 3)])


def test_settings_are_read_behind_a_byte_order_mark(project, found):
    Path("dag.py").write_text(BAD)
    Path("pyproject.toml").write_bytes('[tool.mapping-kit.lint]\nignore = ["MAP001"]\n'.encode("utf-8-sig"))
    assert found() == (0, [])


def test_a_folder_without_python_files_is_clean(project, run):
    Path("readme.txt").write_text("airflow")
    Path("empty").mkdir()
    assert run() == (0, "", "0 findings in 0 files.\n")
    assert run("--output", "json") == (0, "[]\n", "")
    assert json.loads(run("--output", "sarif")[1])["runs"][0]["results"] == []


def test_links_that_loop_or_lead_nowhere_end(project, found):
    Path("dags").mkdir()
    Path("dags/dag.py").write_text(BAD)
    Path("dags/again").symlink_to("..", target_is_directory=True)
    Path("dags/self.py").symlink_to("self.py")
    Path("dags/gone.py").symlink_to("nowhere.py")
    Path("dags/folder.py").mkdir()
    assert found() == (1, [("MAP001", "dags/dag.py", 3)])


def test_a_file_that_cannot_be_read_is_named_and_the_rest_is_looked_at(project, run, monkeypatch):
    Path("a.py").write_text(BAD)
    Path("b.py").write_text(BAD)
    read = Path.read_bytes

    def refused(path):
        # Root may read whatever the mode says.
        if path.name == "a.py":
            raise PermissionError(13, "Permission denied", str(path))
        return read(path)

    monkeypatch.setattr(Path, "read_bytes", refused)
    status, out, err = run("--statistics")
    assert (status, out) == (2, "     1  MAP001  run-per-item\n")
    assert err.startswith("a.py: it can't be read: Permission denied\n")


def test_fifty_thousand_lines_are_looked_at_at_once(project, found):
    Path("long.py").write_text(BAD + "x = 1\n" * 50_000)
    begun = time.process_time()
    assert found() == (1, [("MAP001", "long.py", 3)])
    assert time.process_time() - begun < 10


def test_annotations_of_github_and_sarif_name_the_place(project, run):
    Path("a,b.py").write_text(BAD)
    status, out, _ = run("--output", "github")
    assert status == 1
    assert out.startswith(
        "::warning file=a%2Cb.py,line=3,col=8,endLine=3,title=MAP001 run-per-item::Each mapped"
    )
    [result] = json.loads(run("--output", "sarif")[1])["runs"][0]["results"]
    assert result["ruleId"] == "MAP001"
    place = result["locations"][0]["physicalLocation"]
    assert place["artifactLocation"] == {"uri": "a%2Cb.py"}
    assert (place["region"]["startLine"], place["region"]["startColumn"]) == (3, 8)


def test_fixes_are_written_or_shown(project, run):
    before = (HERE / "fix" / "map108.py").read_text()
    after = (HERE / "fix" / "map108.after.py").read_text()
    Path("dag.py").write_text(before)
    _, out, err = run("--select", "MAP108", "--fix", "--diff")
    assert out.startswith("--- dag.py\n+++ dag.py\n")
    assert "can be fixed" in err
    assert Path("dag.py").read_text() == before
    run("--select", "MAP108", "--fix")
    assert Path("dag.py").read_text() == after


def test_a_file_of_two_names_is_looked_at_once(project, found):
    Path("dag.py").write_text(BAD)
    Path("link.py").symlink_to("dag.py")
    assert found("dag.py", ".", str(project / "dag.py")) == (1, [("MAP001", "dag.py", 3)])


@pytest.fixture
def program(project):
    """Return how the program starts where the standard library and the kit are all there is."""
    packages = project / ".packages"
    packages.mkdir()
    (packages / "airflow_mapping_kit").symlink_to(Path(airflow_mapping_kit.__file__).parent)
    environment = {**os.environ, "PYTHONPATH": str(packages)}
    return [sys.executable, "-S", "-m", "airflow_mapping_kit.lint"], environment


def test_it_runs_where_nothing_else_is_installed(program):
    Path("dag.py").write_text(BAD)
    command, environment = program
    done = subprocess.run([*command, "dag.py"], capture_output=True, text=True, check=False, env=environment)
    assert (done.returncode, done.stderr) == (1, "1 finding in 1 file.\n")
    assert done.stdout.startswith("dag.py:3:8 MAP001 ")
    done = subprocess.run(
        [*command, "--explain", "MAP003"], capture_output=True, text=True, check=False, env=environment
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("# MAP003: mapped-trigger-waits\n")


def test_a_terminal_of_ascii_shows_what_it_can(program):
    Path("dag.py").write_text(BAD.replace("sub", "größe"), encoding="utf-8")
    command, environment = program
    ascii_alone = {**environment, "PYTHONIOENCODING": "ascii"}
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=ascii_alone)
    assert (done.returncode, done.stderr) == (1, "1 finding in 1 file.\n")
    assert r"gr\xf6\xdfe" in done.stdout


def test_a_reader_that_has_had_enough_is_no_error(program):
    # More than a pipe holds.
    Path("dag.py").write_text(BAD + BAD.splitlines()[-1].join(["\n"] * 300))
    command, environment = program
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment
    ) as process:
        assert process.stdout.readline().startswith(b"dag.py:3:8 MAP001")
        process.stdout.close()
        assert process.stderr.read() == b""
    assert process.returncode == 1
