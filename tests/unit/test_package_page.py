"""What an index shows of the package: built as a release is, the wheel from the sdist."""

from __future__ import annotations

import re
import shutil
import tarfile
import zipfile
from email import message_from_bytes
from pathlib import Path

import pytest
from hatchling.builders.sdist import SdistBuilder
from hatchling.builders.wheel import WheelBuilder
from markdown_it import MarkdownIt

import airflow_mapping_kit

ROOT = Path(__file__).resolve().parents[2]
VERSION = airflow_mapping_kit.__version__
REPOSITORY = "https://github.com/owner/a.fork-of_it"
README = (ROOT / "README.md").read_text()
CODE = re.compile(r"^```.*?^```$", re.MULTILINE | re.DOTALL)


@pytest.fixture
def built(tmp_path, monkeypatch):
    """Return a function that builds the sdist, for a repository, and the wheel from it; it returns their metadata."""
    sources = tmp_path / "a folder with spaces"
    (sources / "airflow_mapping_kit").mkdir(parents=True)
    for name in (
        "pyproject.toml",
        "hatch_build.py",
        "README.md",
        "LICENSE",
        "airflow_mapping_kit/__init__.py",
    ):
        shutil.copy(ROOT / name, sources / name)

    def build(repository=None):
        monkeypatch.delenv("MAPPING_KIT_REPOSITORY", raising=False)
        if repository is not None:
            monkeypatch.setenv("MAPPING_KIT_REPOSITORY", repository)
        (sdist,) = SdistBuilder(str(sources)).build(directory=str(tmp_path))
        monkeypatch.delenv("MAPPING_KIT_REPOSITORY", raising=False)
        with tarfile.open(sdist) as archive:
            archive.extractall(tmp_path / "unpacked", filter="data")
        (unpacked,) = (tmp_path / "unpacked").iterdir()
        (wheel,) = WheelBuilder(str(unpacked)).build(directory=str(tmp_path), versions=["standard"])
        with zipfile.ZipFile(wheel) as archive:
            (metadata,) = [name for name in archive.namelist() if name.endswith("/METADATA")]
            return (unpacked / "PKG-INFO").read_bytes(), archive.read(metadata)

    return build


def links(text):
    """Return where the links and pictures of a page lead, as a browser sees them."""
    return re.findall(r' (?:href|src)="([^"]+)"', MarkdownIt("commonmark").enable("table").render(text))


def page(metadata):
    message = message_from_bytes(metadata)
    assert message["Description-Content-Type"] == "text/markdown"
    urls = dict(line.split(", ") for line in message.get_all("Project-URL", []))
    return urls, message.get_payload(decode=True).decode()


def test_the_page_of_a_release_leads_to_the_files_of_its_tag(built):
    sdist, wheel = built(REPOSITORY)
    urls, description = page(sdist)
    files = f"{REPOSITORY}/blob/v{VERSION}/"
    assert urls == {
        "Documentation": f"{files}docs/index.md",
        "Source": REPOSITORY,
        "Changelog": f"{files}CHANGELOG.md",
        "Issues": f"{REPOSITORY}/issues",
    }
    before, after = links(README), links(description)
    assert len(before) > 20
    for path, url in zip(before, after, strict=True):
        kind = "raw" if path.endswith((".svg", ".png")) else "blob"
        assert url == f"{REPOSITORY}/{kind}/v{VERSION}/{path}"
    assert CODE.findall(description) == CODE.findall(README)
    assert wheel == sdist


def test_what_is_built_elsewhere_says_what_the_readme_says(built):
    sdist, wheel = built()
    assert page(sdist) == ({}, README)
    assert wheel == sdist


@pytest.mark.parametrize(
    "repository", ["owner/name", "http://github.com/owner/name", "https://github.com/a b"]
)
def test_what_is_no_address_of_a_repository_is_refused_by_name(built, repository):
    with pytest.raises(ValueError, match=f"MAPPING_KIT_REPOSITORY is '{repository}'"):
        built(repository)
