"""The task behind every generator: calls a function, checks the plan, returns it as JSON."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal, ParamSpec, TypeVar, cast

from airflow_mapping_kit.compat import (
    KNOWN_CONTEXT_KEYS,
    AirflowSkipException,
    DecoratedOperator,
    bad_input_fails_at_once,
    hidden_names,
    task_decorator_factory,
)
from airflow_mapping_kit.exceptions import PartitionError, PlanError
from airflow_mapping_kit.partitions import unique_partitions
from airflow_mapping_kit.partitions.hidden import hide
from airflow_mapping_kit.pieces.arguments import known_at_run_time
from airflow_mapping_kit.printable import one_line

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping

    from airflow.decorators.base import Task
    from airflow.utils.context import Context

P = ParamSpec("P")
R = TypeVar("R")

ON_EMPTY = ("skip", "fail")


class GeneratorOperator(DecoratedOperator):
    """Call a function that returns a plan, and check the plan before Airflow maps over it.

    The function gets the arguments it was called with and nothing else: unlike a `@task`, it never
    receives Airflow's context as keyword arguments, so `**dimensions` are dimensions only.

    :param on_empty: what a plan of no pieces does: `"skip"` the task, and with it what is mapped over
        it, or `"fail"`. Default `"skip"`.
    """

    custom_operator_name = "generator"

    def __init__(self, *, on_empty: Literal["skip", "fail"] = "skip", **kwargs: Any) -> None:
        if on_empty not in ON_EMPTY:
            raise PlanError(f"on_empty={on_empty!r} is unknown: choose one of {', '.join(ON_EMPTY)}.")
        super().__init__(**kwargs)
        self.on_empty = on_empty

    def execute(self, context: Context) -> Any:
        """Return the checked plan, a JSON list."""
        args, kwargs = _materialized(self.op_args), _materialized(self.op_kwargs)
        with bad_input_fails_at_once():
            plan = self.made_of(args, kwargs, map_index=context["ti"].map_index)
        if not plan:
            raise AirflowSkipException(
                f"{self.task_id} made an empty plan, so what is mapped over it is skipped. "
                f'If that is an error, say .override(on_empty="fail").'
            )
        self.log.info("%s made a plan of %d pieces: %s", self.task_id, len(plan), _excerpt(plan))
        return plan

    def made_of(self, args: Sequence[Any], kwargs: Mapping[str, Any], *, map_index: int = -1) -> list[Any]:
        """Return the checked plan that the function makes of some arguments.

        :raises MappingKitError: if the arguments make none, or one that Airflow could not map over.
        """
        plan = list(self.python_callable(*args, **kwargs))
        self._check(plan, map_index)
        return plan

    def _check(self, plan: list[Any], map_index: int) -> None:
        if not plan and self.on_empty == "fail":
            raise PlanError(
                f"{self.task_id} made an empty plan. Check its arguments, or "
                f'say .override(on_empty="skip") where nothing to do is fine.'
            )
        if all(map(_is_partition, plan)):
            refuse_context_names({name for piece in plan for name in piece})
            unique_partitions(plan)
        # A mapped generator pushes one list an instance, and Airflow maps over the instances: no limit.
        if map_index < 0 and next(iter(self.iter_mapped_dependants()), None) is not None:
            self._check_length(plan)

    def _check_length(self, plan: list[Any]) -> None:
        from airflow.configuration import conf

        limit = conf.getint("core", "max_map_length", fallback=1024)
        if len(plan) <= limit:
            return
        too_long = (
            f"{self.task_id} made {len(plan):,} pieces, and a task maps directly over them: "
            f"Airflow maps over at most {limit:,} ([core] max_map_length). "
        )
        raise PlanError(too_long + self.remedy(plan, limit))

    def remedy(self, plan: list[Any], limit: int) -> str:
        """Return what makes a plan that is too long fit."""
        if all(isinstance(piece, list) for piece in plan):
            items = sum(map(len, plan))
            return f"Make the batches larger: batch_size={-(-items // limit)}."
        return f"Map over batches({self.task_id}, batch_size={-(-len(plan) // limit)})."


class PureGeneratorOperator(GeneratorOperator):
    """A generator whose plan depends on its arguments alone: literals are checked when the DAG is parsed."""

    def __init__(self, *, _airflow_mapped_validation_only: bool = False, **kwargs: Any) -> None:
        # Airflow's own flag: `.partial().expand()` builds the operator once without the mapped arguments.
        super().__init__(_airflow_mapped_validation_only=_airflow_mapped_validation_only, **kwargs)
        refuse_context_names(self.op_kwargs)
        arguments = (list(self.op_args), dict(self.op_kwargs))
        if not _airflow_mapped_validation_only and not known_at_run_time(arguments):
            self.python_callable(*self.op_args, **self.op_kwargs)


def generator(
    function: Callable[P, R], *, operator_class: type[GeneratorOperator] = GeneratorOperator
) -> Task[P, R]:
    """Make a generator of a function that returns a list.

    The task takes the function's own arguments, each of them a literal, a template or the output of
    another task, and is called in a DAG like any TaskFlow task.

    :param function: returns the plan: a list of JSON values. Called without Airflow's context.
    :param operator_class: the operator that runs it.
    :return: a TaskFlow task; `.override(task_id=..., on_empty=...)` and `.partial().expand()` included.

    Example: `hours = generator(lambda day: [f"{day}T{h:02}" for h in range(24)])`.
    """
    task = task_decorator_factory(
        python_callable=function, multiple_outputs=False, decorated_operator_class=operator_class
    )
    return cast("Task[P, R]", task)


def refuse_context_names(names: Collection[str]) -> None:
    """Refuse dimensions that no task could take as an argument, since Airflow's context has their names.

    :raises PartitionError: naming the dimension.
    """
    for name in names:
        if name in KNOWN_CONTEXT_KEYS:
            raise PartitionError(
                f"A dimension cannot be called {name!r}: Airflow passes its own {name!r} to every task, "
                f"so no task could be mapped over it. Rename it, e.g. {name + '_key'!r}."
            )


def _is_partition(piece: Any) -> bool:
    # A dict that holds a list or a dict is a set of arguments for expand_kwargs, and may stand there twice.
    return isinstance(piece, dict) and not any(isinstance(value, dict | list) for value in piece.values())


def _materialized(arguments: Any) -> Any:
    """Replace the lazy sequences that a mapped task's output arrives as by lists."""
    if isinstance(arguments, dict):
        return {name: _materialized(value) for name, value in arguments.items()}
    if isinstance(arguments, list | tuple):
        return type(arguments)(_materialized(value) for value in arguments)
    if isinstance(arguments, Sequence) and not isinstance(arguments, str | bytes):
        return list(arguments)
    return arguments


def _excerpt(plan: list[Any]) -> str:
    ends = (
        repr(hide(piece, hidden_names()))[:200] for piece in (plan if len(plan) == 1 else (plan[0], plan[-1]))
    )
    return one_line(" … ".join(ends))
