"""What has to be true of a tree before a tag releases it: `python dev/released.py v1.2.3`."""

from __future__ import annotations

import re
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


def version() -> str:
    """Return the version that the package says it has."""
    found = re.search(
        r'^__version__ = "(.+)"$', (ROOT / "airflow_mapping_kit/__init__.py").read_text(), re.MULTILINE
    )
    if found is None:
        raise SystemExit("airflow_mapping_kit/__init__.py has no __version__.")
    return found[1]


def date(changelog: str, version: str) -> str | None:
    """Return the day on which the changelog says that a version was released; None if it isn't dated there.

    >>> date("## [1.2.0] - 2026-11-26", "1.2.0")
    '2026-11-26'
    """
    found = re.search(rf"^## \[{re.escape(version)}\] - (\d{{4}}-\d\d-\d\d)$", changelog, re.MULTILINE)
    return found and found[1]


def main(tag: str) -> None:
    """Refuse a tag that isn't the version's, and a version whose day the changelog doesn't have."""
    here = version()
    if tag != f"v{here}":
        raise SystemExit(
            f"The tag is {tag}, the version v{here}: change __version__, or tag the commit that has it."
        )
    day = date((ROOT / "CHANGELOG.md").read_text(), here)
    if day is None:
        raise SystemExit(
            f"CHANGELOG.md has no line `## [{here}] - YYYY-MM-DD`: give what is unreleased its version and day."
        )
    print(f"{here}, released on {day}")


if __name__ == "__main__":
    main(*sys.argv[1:])
