from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from stack.ports import free_port
from stack.processes import Processes, StackError

ROOT = Path(__file__).resolve().parents[2]
KEEPS_RUNNING = """
import os, sys, time
if os.fork() == 0:                      # a daemon: its own session, its parent gone
    os.setsid()
    if os.fork():
        os._exit(0)
open(sys.argv[1] + "/" + str(os.getpid()), "w").close()
time.sleep(600)
"""
STARTS_ONE = """
import os, signal, sys, time
from pathlib import Path
from stack.ports import free_port
from stack.processes import Processes
folder = Path(sys.argv[1])
# What a shell runs in its background ignores Ctrl-C, and so does what that starts.
signal.signal(signal.SIGINT, signal.default_int_handler)
with Processes() as processes:
    processes.start("A part", [sys.executable, "-c", sys.argv[2], str(folder)], log=folder / "log",
                    env=dict(os.environ), cwd=folder, grace=1, remove=folder / "removed")
    time.sleep(600)
"""


@pytest.mark.versions
def test_a_triggered_run_gives_its_instances_values_and_logs(stack):
    run_id = stack.run("two_numbers", conf={"add": 10})
    instances = stack.airflow.instances("two_numbers", run_id)
    assert [(i["map_index"], i["state"], i["rendered_map_index"]) for i in instances] == [
        (0, "success", "number 1"),
        (1, "success", "number 2"),
        (2, "success", "number 3"),
    ]
    assert [stack.airflow.xcom("two_numbers", run_id, "added", index) for index in range(3)] == [11, 12, 13]
    assert "Done. Returned value was: 13" in stack.airflow.log("two_numbers", run_id, "added", 2)
    assert 1 <= stack.airflow.most_at_once("two_numbers", run_id) <= 3


@pytest.mark.versions
def test_a_cleared_instance_runs_again_alone(stack):
    run_id = stack.run("two_numbers")
    assert stack.airflow.clear("two_numbers", run_id, "added", 1) == 1
    assert stack.airflow.wait("two_numbers", run_id) == "success"
    assert [i["try_number"] for i in stack.airflow.instances("two_numbers", run_id)] == [1, 2, 1]


@pytest.mark.versions
def test_the_dag_files_of_the_project_and_of_the_tests_can_be_imported(stack):
    stack.airflow.wait_for_dag("flights_reload")
    stack.airflow.wait_for_dag("two_numbers")
    assert stack.airflow.import_errors() == []


def test_the_lake_of_the_s3_server_can_be_copied_out(stack, tmp_path):
    stack.s3.make_bucket("copied")
    stack.s3.client().put_object(Bucket="copied", Key="a=1/b=x%2Fy/data.parquet", Body=b"12")
    assert stack.s3.copy_to("copied", tmp_path / "lake") == 1
    assert (tmp_path / "lake" / "a=1" / "b=x%2Fy" / "data.parquet").read_bytes() == b"12"


@pytest.mark.parametrize("ending", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_nothing_is_left_when_the_parent_is_ended(tmp_path, ending):
    (tmp_path / "removed").mkdir()
    parent = subprocess.Popen(
        [sys.executable, "-c", STARTS_ONE, str(tmp_path), KEEPS_RUNNING],
        env={**os.environ, "PYTHONPATH": str(ROOT / "dev")},
        start_new_session=True,
        stderr=subprocess.DEVNULL,
    )
    try:
        started = eventually(lambda: [int(p.name) for p in tmp_path.iterdir() if p.name.isdigit()], count=2)
        assert all(psutil.pid_exists(pid) for pid in started)
        # A terminal's Ctrl-C reaches the whole process group.
        os.killpg(parent.pid, ending)
        parent.wait(30)
        eventually(lambda: [pid for pid in started if psutil.pid_exists(pid)], count=0)
        eventually(lambda: [path for path in [tmp_path / "removed"] if path.exists()], count=0)
    finally:
        parent.kill()


def test_make_leaves_nothing_of_the_demo_when_it_is_ended(tmp_path):
    # A project of its own, for the demo keeps its state beside the Makefile; what is installed is installed.
    installed = Path(sys.executable).parents[1]
    shutil.copy(ROOT / "Makefile", tmp_path)
    shutil.copytree(ROOT / "dev", tmp_path / "dev")
    (tmp_path / installed.name).symlink_to(installed)
    options = [f"VENV={installed.name}", "--old-file", f"{installed.name}/.installed-demo"]
    with (tmp_path / "make.log").open("w") as log:
        make = subprocess.Popen(
            ["make", *options, "up", f"PORT={free_port()}"],
            cwd=tmp_path,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    family = []
    try:

        def postgres():
            assert make.poll() is None, (tmp_path / "make.log").read_text()
            family[:] = psutil.Process(make.pid).children(recursive=True)
            return [one for one in family if one.name() == "postgres"][:1]

        eventually(postgres, count=1)
        # As a service manager ends it, or a person by its process id: no terminal tells the others.
        make.terminate()
        make.wait(60)
        eventually(lambda: [one for one in family if one.is_running()], count=0)
    finally:
        for one in (make, *family):
            with contextlib.suppress(psutil.NoSuchProcess):
                one.kill()
        make.wait(60)


@pytest.mark.parametrize(
    "target", ["bench", "demo", "demo-s3", "demo-table", "test", "test-pure", "test-system", "up"]
)
def test_the_shell_of_every_long_recipe_becomes_what_it_starts(target):
    # The tests may have been started by make itself, which tells another make so.
    environment = {
        name: value for name, value in os.environ.items() if not name.startswith(("MAKE", "MFLAGS"))
    }
    done = subprocess.run(
        ["make", "--dry-run", "--always-make", target],
        cwd=ROOT,
        env=environment,
        check=True,
        capture_output=True,
        text=True,
    )
    assert done.stdout.splitlines()[-1].startswith("exec ")


@pytest.mark.parametrize("executor", ["", "Celery", "local celery"])
@pytest.mark.parametrize("target", ["demo", "test"])
def test_an_executor_that_is_not_there_is_one_clear_error(executor, target):
    done = subprocess.run(
        ["make", "--dry-run", target, f"EXECUTOR={executor}"],
        cwd=ROOT,
        env={name: value for name, value in os.environ.items() if not name.startswith(("MAKE", "MFLAGS"))},
        check=False,
        capture_output=True,
        text=True,
    )
    (said,) = done.stderr.splitlines()
    assert done.returncode != 0
    assert f"There is no EXECUTOR={executor} here. It can be local, which is the default, or celery." in said


def test_a_part_that_ends_by_itself_is_reported_with_the_end_of_its_log(tmp_path):
    with Processes() as processes:
        processes.start(
            "The part",
            [sys.executable, "-c", "raise SystemExit('no such table')"],
            log=tmp_path / "log",
            env=dict(os.environ),
            cwd=tmp_path,
        )
        with pytest.raises(
            StackError, match=r"The part ended by itself \(exit status 1\)[\s\S]*no such table"
        ):
            processes.wait("Its first answer", lambda: False, seconds=30)


@pytest.fixture
def struck(tmp_path):
    """Give the processes and a part that has left an orphan in a session of its own."""
    with Processes() as processes:
        part = processes.start(
            "The part",
            [sys.executable, "-c", KEEPS_RUNNING, str(tmp_path)],
            log=tmp_path / "log",
            env=dict(os.environ),
            cwd=tmp_path,
            grace=1,
        )
        eventually(lambda: alive(part), count=2)
        eventually(lambda: [path for path in tmp_path.iterdir() if path.name.isdigit()], count=2)
        yield processes, part


def test_a_part_that_is_killed_on_purpose_leaves_nothing_and_can_be_started_again(struck):
    processes, part = struck
    before = alive(part)
    part.kill()
    assert not any(one.is_running() for one in before)
    assert (part.family, part.running) == ([], False)
    processes.check()
    part.restart()
    assert not set(before) & set(eventually(lambda: alive(part), count=2))


def test_what_has_a_process_group_of_its_own_outlives_the_group_of_its_part_and_ends_with_the_stack(struck):
    processes, part = struck
    main, daemon = alive(part)
    part.kill_group()
    assert not main.is_running()
    time.sleep(0.5)
    assert alive(part) == [daemon]
    processes.check()
    part.restart()
    eventually(lambda: alive(part), count=2)
    assert daemon.is_running()
    part.end()
    assert not daemon.is_running()


def test_a_part_that_is_frozen_goes_on_when_it_is_thawed_and_ends_when_it_is_not(struck):
    _, part = struck
    part.freeze()
    eventually(lambda: [one for one in part.family if one.status() == psutil.STATUS_STOPPED], count=2)
    part.thaw()
    eventually(lambda: [one for one in part.family if one.status() == psutil.STATUS_STOPPED], count=0)
    part.freeze()
    part.end()
    assert part.family == []


def alive(part):
    return [one for one in part.family if one.status() != psutil.STATUS_ZOMBIE]


def eventually(look, *, count):
    deadline = time.monotonic() + 30
    while len(found := look()) != count:
        assert time.monotonic() < deadline, found
        time.sleep(0.05)
    return found
