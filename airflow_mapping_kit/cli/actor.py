"""Who runs a command, for Airflow's audit log."""

from __future__ import annotations

import getpass
import os
import socket
import sys

from airflow_mapping_kit.redrive.clearing import Actor

_MAX_COMMAND = 4_000


def actor(event: str) -> Actor:
    """Return who runs this command, and how, as Airflow's own commands tell it."""
    try:
        owner = getpass.getuser()
    except (KeyError, OSError):
        # In a container a user may be a mere number.
        owner = str(os.getuid())
    return Actor(
        event, owner, {"host_name": socket.gethostname(), "full_command": str(sys.argv)[:_MAX_COMMAND]}
    )
