"""The files that a browser loads: where they are, and a mark that changes with them."""

from __future__ import annotations

import functools
import hashlib
from pathlib import Path

STATIC = Path(__file__).parent / "static"
TEMPLATES = Path(__file__).parent / "templates"


@functools.cache
def version() -> str:
    """Return a mark of the files as they are: browsers keep them, and load them again where it differs."""
    found = hashlib.sha256()
    for file in sorted(STATIC.iterdir()):
        if file.is_file():
            found.update(file.read_bytes())
    return found.hexdigest()[:12]


@functools.cache
def modules() -> list[str]:
    """Return the names of the scripts that the page is made of, for a browser to load side by side.

    Each names those that it needs: without being told a browser finds them one after the other.
    """
    return sorted(file.name for file in STATIC.glob("*.js") if file.name != "react.js")
