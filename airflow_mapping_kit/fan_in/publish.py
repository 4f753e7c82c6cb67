"""The fan-in that also publishes the staged data of a table: all partitions that succeeded, in one commit."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airflow_mapping_kit.compat import (
    XComArg,
    expand_input_of,
    group_argument_of,
    is_mapped,
    is_mapped_operator,
)
from airflow_mapping_kit.exceptions import FanInError
from airflow_mapping_kit.fan_in.collect import CollectOperator, added
from airflow_mapping_kit.plans.arguments import known_at_run_time
from airflow_mapping_kit.plans.mapped import Mapped
from airflow_mapping_kit.tables.described import table_of
from airflow_mapping_kit.tables.planned import TABLE_ARGUMENTS, table_given_to, wait_for_plan

if TYPE_CHECKING:
    from airflow.utils.context import Context


class PublishOperator(CollectOperator):
    """Report every piece, and commit those that succeeded at once. `publish` makes it and describes its arguments.

    :param table: the table, as `iceberg_table(...)` and the like return it (templated)
    :param staged_by: the id of the task that staged.
    """

    template_fields = (*CollectOperator.template_fields, "table")
    ui_color = "#d9ead3"
    done: Any = None
    version: Any = None

    def __init__(self, *, table: Any, staged_by: str, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.table, self.staged_by = table, staged_by

    def execute(self, context: Context) -> dict[str, Any]:
        """Return the report, with what was published; publish nothing and fail if too many failed."""
        # Every instance of the DAG pays for what its file imports: what only the fan-in takes waits for it.
        from airflow_mapping_kit.fan_in.commit import published

        return published(self, context)

    def lineage(self) -> Any:
        """Return the table that it publishes, by the names that OpenLineage has."""
        from airflow_mapping_kit.lineage.tables import published

        return published(self.table, self.version)

    def get_openlineage_facets_on_complete(self, _: Any) -> Any:
        """Return what it has published. Airflow's OpenLineage provider calls the method of this name."""
        from airflow_mapping_kit.lineage.events import operator_lineage

        return operator_lineage(self.lineage(), self.done)


def publish(mapped: Any, **arguments: Any) -> XComArg:
    """Add a task that waits for every piece of a mapped task, and publishes what they staged for a table in one commit.

    It is `collect`, with its arguments and its report. If no more pieces failed than you tolerate, it replaces exactly
    the partitions that succeeded; failed and other partitions keep their old data. If more failed, it publishes
    nothing, and the staged data stay: fix the cause and clear the failed instances with this task, and it publishes
    all of them at once. Publishing again changes nothing.

    :param mapped: a mapped task whose `target` is a table, or `table` of a `SQLPartitionOperator`; or such a task of a
        mapped group.
    :param arguments: those of `collect`.
    :return: the task's output: the report of `collect`, and `"published": {"snapshot", "rows", "replaced_files",
        "left_over"}`; `None` if no partition succeeded.
    :raises FanInError: as `collect` does; if the task doesn't write to a table.

    Example: `publish(load, tolerated_failure_percentage=5)`.
    """
    target = Mapped.of(mapped)
    if not isinstance(target.returns, str):
        raise FanInError(
            f"{target.name} is a group. Pass the task in it that writes to the table: publish(load), where load is "
            f"that task's output in the group."
        )
    task: Any = target.dag.get_task(target.returns)
    table = _table_of(task)
    for lookup, _ in table.iter_references() if isinstance(table, XComArg) else ():
        wait_for_plan(lookup, task)
    return added(PublishOperator, target, "publish", table=table, staged_by=task.task_id, **arguments)


def _table_of(task: Any) -> Any:
    """Return the table of a task: looked up when the DAG runs, or plain JSON.

    :raises FanInError: if it has none, or may have several
    """
    given = task.partial_kwargs if is_mapped_operator(task) else vars(task)
    table = table_given_to(task)
    mapped = getattr(expand_input_of(task), "value", None) if is_mapped_operator(task) else None
    several = isinstance(mapped, dict) and any(name in mapped for name in TABLE_ARGUMENTS)
    if isinstance(table, XComArg):
        several = several or any(is_mapped(operator) for operator, _ in table.iter_references())
    if several or group_argument_of(table) is not None:
        raise FanInError(
            f"{task.task_id} is mapped over tables, but publish commits to a single table. Look the table up before "
            "the mapped task, and pass it to .partial()."
        )
    if outlets := given.get("outlets"):
        raise FanInError(
            f"{task.task_id} has outlets={outlets!r}, but it only stages data, which changes nothing yet. Give the "
            f"outlets to publish: publish({task.task_id}, outlets=[...])."
        )
    if table_of(table) is None and not known_at_run_time(table):
        raise FanInError(
            f"{task.task_id} writes to {table!r}, which is not a table, so there is nothing to publish. Use "
            "collect(...), or give it target=iceberg_table(...), delta_table(...) or ducklake_table(...)."
        )
    return table
