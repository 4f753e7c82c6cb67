"""What Airflow hides: the secrets that this process has come to know."""

from __future__ import annotations

import sys

from airflow_mapping_kit.compat.names import AIRFLOW_3


def redacted(text: str) -> str:
    """Return a text with `***` in place of the secrets that Airflow has handed to this process.

    That are passwords and the like of connections, sensitive variables and options, and what `mask_secret` was
    told; so where they were used it says more than anywhere else.
    """
    if not AIRFLOW_3:
        from airflow.utils.log.secrets_masker import redact as masked

        return str(masked(text))
    from airflow.sdk._shared.secrets_masker import redact

    text = str(redact(text))
    # Of Airflow's core it has another one, where the core is there: beside the database, and in `dag.test()`.
    core = sys.modules.get("airflow._shared.secrets_masker")
    return text if core is None else str(core.redact(text))
