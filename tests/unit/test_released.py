from __future__ import annotations

import runpy
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
released = runpy.run_path(str(ROOT / "dev/released.py"))


@pytest.fixture
def tree(tmp_path):
    """A tree of version 1.2.3 whose changelog is given."""

    def made(changelog):
        (tmp_path / "airflow_mapping_kit").mkdir()
        (tmp_path / "airflow_mapping_kit/__init__.py").write_text('__version__ = "1.2.3"\n')
        (tmp_path / "CHANGELOG.md").write_text(changelog)
        released["main"].__globals__["ROOT"] = tmp_path
        return released["main"]

    return made


def test_a_tag_of_the_version_whose_day_is_told_may_be_released(tree, capsys):
    tree("## [Unreleased]\n\n## [1.2.3] - 2026-12-24\n")("v1.2.3")
    assert capsys.readouterr().out == "1.2.3, released on 2026-12-24\n"


@pytest.mark.parametrize("tag", ["v1.2.4", "1.2.3", "v1.2.3-rc1"])
def test_a_tag_of_another_version_is_refused_by_name(tree, tag):
    with pytest.raises(SystemExit, match=f"The tag is {tag}, the version v1.2.3"):
        tree("## [1.2.3] - 2026-12-24\n")(tag)


@pytest.mark.parametrize(
    "line", ["## [Unreleased]", "## [1.2.3]", "## [1x2.3] - 2026-12-24", "## [1.2.3] - soon"]
)
def test_a_version_without_its_day_in_the_changelog_is_refused(tree, line):
    with pytest.raises(SystemExit, match="no line `## \\[1.2.3\\] - YYYY-MM-DD`"):
        tree(f"{line}\n")("v1.2.3")
