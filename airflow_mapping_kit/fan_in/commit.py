"""What `publish` does when it runs: it reports every piece, and commits those that succeeded to the table."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airflow_mapping_kit.compat import bad_input_fails_at_once
from airflow_mapping_kit.exceptions import TargetError
from airflow_mapping_kit.fan_in.accounting import accounted
from airflow_mapping_kit.lineage import collected
from airflow_mapping_kit.lineage.done import Done
from airflow_mapping_kit.partitions.sequences import shown
from airflow_mapping_kit.printable import one_line
from airflow_mapping_kit.results import SUCCESS
from airflow_mapping_kit.tables import formats
from airflow_mapping_kit.tables.described import table_of
from airflow_mapping_kit.tables.staged import checked, run_of

if TYPE_CHECKING:
    from airflow.utils.context import Context

    from airflow_mapping_kit.outcomes.states import Outcome


def published(fan_in: Any, context: Context) -> dict[str, Any]:
    """Return the report, with what was published; publish nothing and fail if too many pieces failed.

    :param fan_in: the `PublishOperator` that runs.
    """

    def commit(found: Outcome) -> dict[str, Any]:
        with bad_input_fails_at_once():
            return {"published": _committed(fan_in, found, context)}

    return accounted(fan_in, context, commit)


def _committed(fan_in: Any, found: Outcome, context: Context) -> Any:
    table = table_of(fan_in.table)
    if table is None:
        raise TargetError(
            f"{shown(fan_in.table)} is not a table: give {fan_in.staged_by} what iceberg_table(...), "
            "delta_table(...), ducklake_table(...) or sql_table(...) returns"
        )
    pieces = checked((row["value"] for row in found.rows() if row["state"] == SUCCESS), fan_in.staged_by)
    if not pieces:
        fan_in.log.info("No partition succeeded: %s stays as it is", one_line(table["name"]))
        return None
    instance: Any = context["ti"]
    run = run_of(instance.dag_id, instance.run_id, fan_in.staged_by)
    done = formats.publish(table, pieces, run)
    fan_in.done, fan_in.version = Done(), done["snapshot"]
    for piece in pieces:
        fan_in.done.wrote(
            rows=piece["rows"], size=piece["bytes"], key=piece["key"], partition=piece["partition"]
        )
    collected.tell(fan_in)
    fan_in.log.info(
        "Published %d partitions of %s: %s", len(pieces), one_line(table["name"]), one_line(str(done))
    )
    return done
