"""Folders for Unix sockets, whose paths must be short."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

# Of `sockaddr_un.sun_path`, 104 bytes on macOS and 108 on Linux, less "/.s.PGSQL.5432".
MAX_SOCKET_FOLDER = 88


def socket_folder(part: str) -> Path:
    """Make a folder of this user's own for the sockets of a part, and return its path."""
    folder = Path(tempfile.mkdtemp(prefix=f"mapping-kit-{part}-"))
    if len(os.fsencode(folder)) <= MAX_SOCKET_FOLDER:
        return folder
    folder.rmdir()
    return Path(tempfile.mkdtemp(prefix=f"mapping-kit-{part}-", dir="/tmp"))
