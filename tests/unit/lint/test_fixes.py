"""What mends a finding changes nothing else, to the byte, and there is nothing left to mend."""

from __future__ import annotations

import ast
import os
import stat
from pathlib import Path

import pytest

from airflow_mapping_kit.lint import edits
from airflow_mapping_kit.lint.config import Settings
from airflow_mapping_kit.lint.lint import Result, look
from airflow_mapping_kit.lint.mending import mend, replacements

FIX = Path(__file__).parent / "fix"
CASES = [path for path in sorted(FIX.glob("*.py")) if not path.stem.endswith(".after")]


def mended(path, rule, *, unsafe=True, write=True):
    settings = Settings(select=(rule,))
    return mend(look([path], settings), settings, unsafe=unsafe, write=write)


@pytest.mark.parametrize("encoded", ["as it is", "CRLF", "BOM", "latin-1"])
@pytest.mark.parametrize("case", CASES, ids=lambda path: path.stem)
def test_a_file_is_as_it_should_be_afterwards_whatever_its_form(case, encoded, tmp_path):
    def form(text):
        if encoded == "CRLF":
            return text.replace("\n", "\r\n").encode()
        if encoded == "BOM":
            return text.encode("utf-8-sig")
        if encoded == "latin-1":
            return f"# -*- coding: latin-1 -*-\n{text}".encode("latin-1")
        return text.encode()

    path = tmp_path / "dag.py"
    path.write_bytes(form(case.read_text()))
    done = mended(path, case.stem.upper())
    assert path.read_bytes() == form(case.with_suffix(".after.py").read_text())
    assert done.number > 0
    ast.parse(path.read_bytes())
    again = mended(path, case.stem.upper())
    assert again.number == 0
    assert path.read_bytes() == form(case.with_suffix(".after.py").read_text())


def test_what_is_not_safe_is_left_alone_unless_it_is_asked_for(tmp_path):
    path = tmp_path / "dag.py"
    path.write_text((FIX / "map001.py").read_text())
    assert mended(path, "MAP001", unsafe=False).number == 0
    assert path.read_text() == (FIX / "map001.py").read_text()


@pytest.mark.parametrize("ends", ["\n", "\r\n"], ids=["LF", "CRLF"])
@pytest.mark.parametrize("case", CASES, ids=lambda path: path.stem)
def test_each_fix_by_itself_is_said_by_line_and_column(case, ends, tmp_path):
    path = tmp_path / "dag.py"
    path.write_bytes(case.read_text().replace("\n", ends).encode())
    settings = Settings(select=(case.stem.upper(),))
    findings = look([path], settings).findings
    fixes = replacements(findings, settings)
    assert fixes
    before = path.read_bytes().decode().splitlines(keepends=True)
    for made in fixes.values():
        lines = list(before)
        for place, text in sorted(made, reverse=True):
            end = lines[place.end_line - 1][place.end_column :]
            lines[place.line - 1 : place.end_line] = [lines[place.line - 1][: place.column] + text + end]
        path.write_bytes("".join(lines).encode())
        assert len(look([path], settings).findings) == len(findings) - 1


def test_a_diff_writes_nothing(tmp_path):
    path = tmp_path / "dag.py"
    path.write_text((FIX / "map108.py").read_text())
    done = mended(path, "MAP108", write=False)
    assert "+@task(map_index_template=label())\n" in done.diff
    assert path.read_text() == (FIX / "map108.py").read_text()


def test_a_name_that_is_something_else_here_is_not_imported_over(tmp_path):
    path = tmp_path / "dag.py"
    path.write_text(f"{(FIX / 'map108.py').read_text()}\n\ndef label():\n    return 1\n")
    assert mended(path, "MAP108").number == 0


def test_a_file_that_cannot_be_written_is_named_and_stays_whole(tmp_path, monkeypatch):
    path = tmp_path / "dag.py"
    path.write_text((FIX / "map108.py").read_text())
    # Root may write whatever the mode says.
    monkeypatch.setattr(os, "access", lambda *_: False)
    done = mended(path, "MAP108")
    assert done.left.unread == [(str(path), "Permission denied")]
    assert path.read_text() == (FIX / "map108.py").read_text()
    assert [one.name for one in tmp_path.iterdir()] == ["dag.py"]


def test_a_file_keeps_its_mode_and_a_link_stays_one(tmp_path):
    path, link = tmp_path / "dag.py", tmp_path / "link.py"
    path.write_text((FIX / "map108.py").read_text())
    path.chmod(0o754)
    link.symlink_to(path)
    assert mended(link, "MAP108").number > 0
    assert link.is_symlink()
    assert stat.S_IMODE(path.stat().st_mode) == 0o754
    assert path.read_text() == (FIX / "map108.after.py").read_text()


def test_a_change_that_does_more_than_it_says_is_refused(tmp_path):
    path = tmp_path / "dag.py"
    path.write_text((FIX / "map108.py").read_text())
    result = look([path], Settings(select=("MAP108",)))
    source = edits.Source(str(path), path.read_bytes())
    other = edits.Source(str(path), path.read_text().replace('"small"', '"large"').encode())
    assert not edits._is_the_same_but(source, other, result.findings[0].fix.edits)
    assert isinstance(result, Result)
