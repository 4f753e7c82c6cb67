"""The link from a fan-in to the page that shows its pieces."""

from __future__ import annotations

from typing import Any

from airflow_mapping_kit.compat import BaseOperatorLink, partitions_url
from airflow_mapping_kit.plans.mapped import collected_by

# What is to be looked at: failed, upstream-failed and not run.
_FAILURES = "fbu"


class PartitionsLink(BaseOperatorLink):
    """The button *Partitions* of a fan-in, which opens the pieces of its run."""

    name = "Partitions"

    def get_link(self, operator: Any, *, ti_key: Any) -> str:
        """Return where the page shows the pieces of a run.

        :param operator: the fan-in, declared or, in Airflow 2's web server, serialized.
        :param ti_key: the instance, or its key.
        """
        collected = collected_by(operator)
        return page_of(ti_key.dag_id, ti_key.run_id, collected.name if collected else None)


def page_of(
    dag_id: str, run_id: str, collected: str | None, *, failures: bool = False, piece: str | None = None
) -> str:
    """Return where the page shows the pieces of a run.

    :param collected: the mapped task or group; by default the page shows the first that is collected.
    :param failures: whether it shows only failed pieces.
    :param piece: the key of the piece that it opens.
    """
    query = {
        "task": collected or "",
        "run": run_id,
        "show": _FAILURES if failures else "",
        "piece": piece or "",
    }
    return partitions_url(dag_id, **{name: value for name, value in query.items() if value})
