from __future__ import annotations

import fcntl
import os
import signal
import stat
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from airflow_mapping_kit.operators.duckdb.claims import claimed_directory, claimed_file, remove_abandoned


def killed_holder(folder, claim):
    """Let another process make a claim in `folder`, and kill it while it holds it."""
    code = (
        f"import sys, pathlib; from airflow_mapping_kit.operators.duckdb.claims import {claim}\n"
        f"with {claim}(pathlib.Path(sys.argv[1])): print('held', flush=True); sys.stdin.read()"
    )
    command = [sys.executable, "-c", code, str(folder)]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout.readline() == "held\n"
        yield
    finally:
        process.send_signal(signal.SIGKILL)
        process.communicate()
    yield


@pytest.mark.parametrize("claim", ["claimed_file", "claimed_directory"])
def test_what_a_process_holds_is_kept_and_what_a_killed_one_left_is_removed(tmp_path, claim):
    states = killed_holder(tmp_path, claim)
    next(states)
    held = sorted(os.listdir(tmp_path))
    assert len(held) == (1 if claim == "claimed_file" else 2)
    assert remove_abandoned(tmp_path) == []
    assert sorted(os.listdir(tmp_path)) == held
    next(states)
    assert remove_abandoned(tmp_path) == [name for name in held if name.endswith(".tmp")]
    assert os.listdir(tmp_path) == []


def test_an_abandoned_directory_goes_with_all_it_holds(tmp_path):
    states = killed_holder(tmp_path, "claimed_directory")
    next(states)
    (directory,) = tmp_path.glob(".mapping-kit-*.d")
    next(states)
    spill = directory / "spill"
    spill.mkdir()
    (spill / "block.tmp").write_bytes(b"x")
    remove_abandoned(tmp_path)
    assert os.listdir(tmp_path) == []


def test_other_names_are_never_removed(tmp_path):
    for name in ("data_0.parquet", ".hidden.tmp", ".mapping-kit-notes.txt", "mapping-kit-1.tmp"):
        (tmp_path / name).touch()
    before = sorted(os.listdir(tmp_path))
    assert remove_abandoned(tmp_path) == []
    assert sorted(os.listdir(tmp_path)) == before


def test_a_link_with_such_a_name_is_not_followed(tmp_path):
    precious = tmp_path / "precious"
    precious.mkdir()
    (precious / "file").touch()
    folder = tmp_path / "folder"
    folder.mkdir()
    (folder / ".mapping-kit-0.d").symlink_to(precious)
    remove_abandoned(folder)
    assert (precious / "file").exists()


def test_a_claimed_file_is_gone_in_the_end_unless_it_was_renamed(tmp_path):
    with claimed_file(tmp_path):
        pass
    assert os.listdir(tmp_path) == []
    with claimed_file(tmp_path) as (path, _):
        path.rename(tmp_path / "kept")
    assert os.listdir(tmp_path) == ["kept"]


def test_no_glob_of_a_reader_matches_a_claimed_file(tmp_path):
    with claimed_file(tmp_path) as (path, _):
        assert path.name.startswith(".")
        assert not list(tmp_path.glob("**/*.parquet"))


def test_readers_may_read_what_is_published_and_nobody_the_scratch_directory(tmp_path):
    mask = os.umask(0o022)
    try:
        with claimed_file(tmp_path) as (path, _), claimed_directory(tmp_path) as folder:
            assert stat.S_IMODE(path.stat().st_mode) == 0o644
            assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    finally:
        os.umask(mask)


def test_a_name_that_another_process_took_for_abandoned_is_replaced_by_a_new_one(tmp_path, mocker):
    """Between its making and its locking a name looks abandoned."""
    real = fcntl.flock
    taken = []

    def flock(descriptor, operation):
        if not taken:
            (name,) = os.listdir(tmp_path)
            taken.append(name)
            (tmp_path / name).unlink()
        real(descriptor, operation)

    mocker.patch("fcntl.flock", flock)
    with claimed_file(tmp_path) as (path, _):
        assert taken != [path.name]
        assert os.listdir(tmp_path) == [path.name]


@pytest.mark.parametrize("claim", [claimed_file, claimed_directory])
def test_claims_and_the_removal_of_abandoned_ones_may_happen_at_the_same_moment(tmp_path, claim):
    over, ready = threading.Event(), threading.Barrier(3)

    def remove_all_the_time():
        ready.wait()
        while not over.is_set():
            remove_abandoned(tmp_path)

    with ThreadPoolExecutor(2) as others:
        removing = [others.submit(remove_all_the_time) for _ in range(2)]
        ready.wait()
        try:
            for _ in range(1000):
                with claim(tmp_path) as held:
                    path = held[0] if isinstance(held, tuple) else held
                    assert path.exists()
        finally:
            over.set()
        for future in removing:
            future.result()
    assert os.listdir(tmp_path) == []
