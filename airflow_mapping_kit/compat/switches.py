"""What a deployment has switched off in `[mapping_kit]`, of what Airflow runs by itself."""

from __future__ import annotations

from airflow.configuration import conf


def on(name: str) -> bool:
    """Tell whether `[mapping_kit] <name>` is on, as all of them are by default.

    :param name: `early_labels`, `listeners` or `page`.
    """
    return bool(conf.getboolean("mapping_kit", name, fallback=True))
