"""The failed pieces of a plan, as a plan."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airflow_mapping_kit.compat import get_current_context, xcom_kind
from airflow_mapping_kit.exceptions import PlanError
from airflow_mapping_kit.generators.base import GeneratorOperator, generator
from airflow_mapping_kit.plans.arguments import has_template
from airflow_mapping_kit.plans.batches import batched
from airflow_mapping_kit.plans.mapped import Mapped, collected_by

if TYPE_CHECKING:
    from collections.abc import Iterator


class FailedOfOperator(GeneratorOperator):
    """A generator of the failed pieces of a fan-in.

    :param fan_in: the id of the fan-in. Default: the one whose report it gets.
    """

    leaves_batches_to_the_operator = True
    template_fields_renderers = {"op_args": "py", "op_kwargs": "py"}  # noqa: RUF012 -- Airflow's own form

    def __init__(self, *, fan_in: str | None = None, **kwargs: Any) -> None:
        given = [*kwargs.get("op_args", ()), *(kwargs.get("op_kwargs") or {}).values()]
        self.fan_in = fan_in
        for report in given:
            maker = report.operator if xcom_kind(report) == "plain" else None
            if maker is not None and collected_by(maker) is not None:
                mapped = Mapped.collected_by(maker)
                _check(mapped)
                self.fan_in = maker.task_id
                kwargs.setdefault("key", _fields_of(mapped))
        super().__init__(**kwargs)

    def check_literals(self) -> None:
        """Check that it gets the report of a fan-in of its DAG.

        :raises PlanError: if it gets anything else.
        """
        if self.fan_in is None:
            raise PlanError(
                f"{self.task_id} gets {list(self.op_args)!r}, and only the report of a fan-in says which pieces have "
                f"failed: pass what collect(...) or publish(...) returned, failed_of(collect(load))."
            )


def _failed_of(
    report: dict[str, Any],  # noqa: ARG001 -- what it says is read where it came from, with what was mapped over
    *,
    batch_size: int | None = None,  # noqa: ARG001 -- the operator makes the batches
) -> Iterator[Any]:
    """Return the failed pieces of a collected task, as the task got them, so that another task can be mapped over them.

    These are the pieces that failed, are upstream-failed or were not started. For `load.expand(partition=...)` a piece
    is the partition; for several arguments, or `expand_kwargs`, it is a dict of them. For batches it is each failed
    item, without the items that succeeded. It makes no difference where the rows of the report are.
    If nothing has failed, the tasks that are mapped over the result are skipped.

    It runs only if the fan-in succeeds: use `tolerated_failure_percentage=100`, and let a second `collect` decide
    whether the rest is good enough.

    :param report: what `collect` or `publish` returned, in the same DAG.
    :param batch_size: how many pieces a batch has. Default: single pieces, or batches of a chosen size if only batched
        tasks are mapped over them.
    :return: `[what the failed task got, ...]` in the order of the plan; with `batch_size`, lists of these
    :raises PlanError: when the DAG is parsed, if the plan contains templates, or is the output of another batched task;
        when it runs, if more pieces failed than Airflow maps over (`[core] max_map_length`), or if the plan has changed
        since. The error says what to do.

    Example: if one of a hundred partitions has failed, `repair.expand(partition=failed_of(collect(load,
    tolerated_failure_percentage=100)))` works only on `[{"date": "2013-01-03", "origin": "LGA"}]`.
    """
    # A DAG's file is loaded again for every mapped instance, and nothing of this is needed there.
    from airflow_mapping_kit.outcomes.failed import failed_pieces
    from airflow_mapping_kit.reading import of_task

    context: Any = get_current_context()
    task = context["task"]
    mapped = Mapped.collected_by(task.dag.get_task(task.fan_in))
    return failed_pieces(mapped, context["ti"].run_id, of_task(context["ti"], mapped.task_ids))


def _check(mapped: Mapped) -> None:
    """Check that another task can get what a mapped task got.

    :raises PlanError: if it can't.
    """
    if has_template(mapped.expand_input.value):
        raise PlanError(
            f"{mapped.name} is mapped over a list with templates, and Airflow renders them only for its instances. "
            f"Let a generator make the list, because it renders its arguments: product(date=['{{{{ ds }}}}'])."
        )
    how = batched(mapped.dag.get_task(mapped.main))
    if how is not None and how.chained:
        raise PlanError(
            f"{mapped.name} takes the output of another batched task. An item that failed there has no value that "
            "could be given again. Use failed_of(collect(...)) of the first task, or put both tasks into one "
            "mapped group."
        )


def _fields_of(mapped: Mapped) -> Any:
    """Return the fields that name the pieces, as their generator says; `None` for all."""
    over = mapped.expand_input.value
    given: Any = next(iter(over.values())) if isinstance(over, dict) and len(over) == 1 else None
    return getattr(given.operator, "named_by", None) if xcom_kind(given) == "plain" else None


_failed_of.__name__ = "failed_of"
failed_of = generator(_failed_of, operator_class=FailedOfOperator)
