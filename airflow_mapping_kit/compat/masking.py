"""What Airflow hides: the secrets that this process has come to know."""

from __future__ import annotations

import sys
from functools import cache

from airflow_mapping_kit.compat import parts
from airflow_mapping_kit.compat.names import AIRFLOW_3
from airflow_mapping_kit.partitions.hidden import HIDDEN_NAMES


@cache
def hidden_names() -> frozenset[str]:
    """Return the names that hide a field here, as the configuration has them: the same in all of Airflow's processes.

    Not as Airflow's masker has them, which not every process has told of the configuration.
    """
    from airflow.configuration import conf

    if not conf.getboolean("core", "hide_sensitive_var_conn_fields"):
        return frozenset()
    own = (conf.get("core", "sensitive_var_conn_names", fallback="") or "").split(",")
    return HIDDEN_NAMES | {name.strip().lower() for name in own if name.strip()}


def redacted(text: str) -> str:
    """Return a text with `***` in place of the secrets that Airflow has handed to this process.

    That are passwords and the like of connections, sensitive variables and options, and what `mask_secret` was
    told; so where they were used it says more than anywhere else. Without Airflow's masker nothing of it is shown.
    """
    if parts.switched_off(parts.MASKING):
        return "(not shown: this Airflow has no masker that the mapping kit knows)"
    if not AIRFLOW_3:
        from airflow.utils.log.secrets_masker import redact as masked

        return str(masked(text))
    from airflow.sdk._shared.secrets_masker import redact

    text = str(redact(text))
    # Of Airflow's core it has another one, where the core is there: beside the database, and in `dag.test()`.
    core = sys.modules.get("airflow._shared.secrets_masker")
    return text if core is None else str(core.redact(text))
