"""The task behind every generator: calls a function, checks the plan, returns it as JSON."""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from contextlib import nullcontext
from typing import TYPE_CHECKING, Any, Literal, ParamSpec, TypeVar, cast

from airflow_mapping_kit.compat import (
    AirflowSkipException,
    DecoratedOperator,
    bad_input_fails_at_once,
    expand_input_of,
    hidden_names,
    is_of_an_instance,
    parts,
    task_decorator_factory,
)
from airflow_mapping_kit.exceptions import PlanError
from airflow_mapping_kit.generators.consumers import longest_map, refuse_context_names, takes_arguments
from airflow_mapping_kit.generators.rendered import read_rendered
from airflow_mapping_kit.partitions import unique_partitions
from airflow_mapping_kit.partitions.hidden import hide
from airflow_mapping_kit.partitions.limits import at_most
from airflow_mapping_kit.partitions.sequences import read
from airflow_mapping_kit.plans.arguments import known_at_run_time
from airflow_mapping_kit.plans.naming import check_fields, check_named, fields_of
from airflow_mapping_kit.plans.planned import references
from airflow_mapping_kit.printable import one_line

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping

    from airflow.decorators.base import Task
    from airflow.utils.context import Context

parts.need(parts.GENERATORS)

P = ParamSpec("P")
R = TypeVar("R")

ON_EMPTY = ("skip", "fail")
_RULE = "a task maps directly over {}: Airflow maps over at most {:,} ([core] max_map_length)."


class GeneratorOperator(DecoratedOperator):
    """Call a function that returns a plan, and check the plan before Airflow maps over it.

    The function gets the arguments it was called with and nothing else: unlike a `@task`, it never
    receives Airflow's context as keyword arguments, so `**dimensions` are dimensions only.

    :param on_empty: what a plan of no pieces does: `"skip"` the task, and with it what is mapped over
        it, or `"fail"`. Default `"skip"`.
    :param key: which fields of a piece name it, where the pieces are dicts: `"id"`, or `["country", "id"]`. The key
        of a piece that is mapped over is made of them, and with it its row and its label without a format. Default:
        all.
    """

    custom_operator_name = "generator"
    # Serialized with them: the scheduler names pieces too.
    template_fields: Sequence[str] = (*DecoratedOperator.template_fields, "named_by")
    # Whether what the function makes is the plan: then it counts the pieces before it makes them.
    makes_the_plan = False

    def __init__(
        self,
        *,
        on_empty: Literal["skip", "fail"] = "skip",
        key: str | Sequence[str] | None = None,
        **kwargs: Any,
    ) -> None:
        check_fields(key)
        if on_empty not in ON_EMPTY:
            raise PlanError(f"on_empty={on_empty!r} is unknown: choose one of {', '.join(ON_EMPTY)}.")
        super().__init__(**kwargs)
        self.on_empty = on_empty
        self.named_by = fields_of(key)
        # Of a mapped generator Airflow makes one without its mapped arguments, and in the worker one an instance.
        if not kwargs.get("_airflow_mapped_validation_only") and not is_of_an_instance(self):
            self.check_literals()

    def check_literals(self) -> None:
        """Check what the DAG's file says, when it is parsed.

        :raises MappingKitError: if the function could make no plan of it.
        """

    def execute(self, context: Context) -> Any:
        """Return the checked plan, a JSON list."""
        args, kwargs = _materialized(self.op_args), _materialized(self.op_kwargs)
        with bad_input_fails_at_once():
            plan = self.made_of(args, kwargs, map_index=context["ti"].map_index)
        # What another generator takes may be empty: whether anything is to be done, that one says.
        if not plan and not self._is_taken_by_a_generator():
            raise AirflowSkipException(
                f"{self.task_id} made an empty plan, so what is mapped over it is skipped. "
                f'If that is an error, say .override(on_empty="fail").'
            )
        self.log.info("%s made a plan of %d pieces: %s", self.task_id, len(plan), _excerpt(plan))
        return plan

    def _is_taken_by_a_generator(self) -> bool:
        return any(
            self.task_id == source.task_id
            for task in self.downstream_list
            if issubclass(getattr(task, "operator_class", type(task)), GeneratorOperator)
            for source in references(_arguments_of(task))
        )

    def made_of(self, args: Sequence[Any], kwargs: Mapping[str, Any], *, map_index: int = -1) -> list[Any]:
        """Return the checked plan that the function makes of some arguments.

        :raises MappingKitError: if the arguments make none, or one that Airflow could not map over.
        """
        args, kwargs = read_rendered(self.python_callable, args, kwargs)
        # A mapped generator pushes one list an instance, and Airflow maps over the instances: no limit.
        over = [] if map_index >= 0 else list(self.iter_mapped_dependants())
        limit = longest_map()
        with at_most(limit, self._too_long) if over and self.makes_the_plan else nullcontext():
            plan = read(f"the plan of {self.task_id}", self.python_callable(*args, **kwargs))
        self._check(plan, over)
        if over and len(plan) > limit:
            too_long = _RULE.format("them", limit)
            raise PlanError(
                f"{self.task_id} made {len(plan):,} pieces, and {too_long} {self.remedy(plan, limit)}"
            )
        return plan

    def _check(self, plan: list[Any], over: Collection[Any]) -> None:
        if not plan and self.on_empty == "fail":
            raise PlanError(
                f"{self.task_id} made an empty plan. Check its arguments, or "
                f'say .override(on_empty="skip") where nothing to do is fine.'
            )
        for mapped in filter(takes_arguments, over):
            refuse_context_names(mapped, plan)
        if self.named_by:
            check_named(self.task_id, "piece {} of its plan", self.named_by, plan)
            plan = [{name: piece[name] for name in self.named_by} for piece in plan]
        # What has a name of its author's choice is to be known by it, whatever maps over it.
        told_apart = bool(self.named_by) or not (over and all(map(takes_arguments, over)))
        if told_apart and all(map(_is_partition, plan)):
            unique_partitions(plan)

    def _too_long(self, number: int) -> str:
        limit = longest_map()
        return f"{_RULE.format(self.task_id, limit)} {self._in_batches(number, limit)}"

    def remedy(self, plan: list[Any], limit: int) -> str:
        """Return what makes a plan that is too long fit."""
        if all(isinstance(piece, list) for piece in plan):
            items = sum(map(len, plan))
            return f"Make the batches larger: batch_size={-(-items // limit)}."
        return self._in_batches(len(plan), limit)

    def _in_batches(self, number: int, limit: int) -> str:
        return f"Map over batches({self.task_id}, batch_size={-(-number // limit)})."


class PureGeneratorOperator(GeneratorOperator):
    """A generator whose plan depends on its arguments alone: literals are checked when the DAG is parsed."""

    makes_the_plan = True

    def check_literals(self) -> None:
        """Make the plan, if all arguments are known.

        :raises MappingKitError: if there is none.
        """
        refuse_empty_dimensions(self)
        if not known_at_run_time((list(self.op_args), dict(self.op_kwargs))):
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


def refuse_empty_dimensions(operator: GeneratorOperator) -> None:
    """Refuse a dimension that the DAG's file gives no values: nothing would ever be done.

    :raises PlanError: naming it. A list known only at run time may be empty.
    """
    named = inspect.signature(operator.python_callable).parameters
    for name, values in operator.op_kwargs.items():
        if name not in named and isinstance(values, list | tuple) and not values:
            raise PlanError(
                f"dimension {name!r} of {operator.task_id} is empty, {values!r}: give it at least one value, or "
                f"leave it out"
            )


def _arguments_of(task: Any) -> list[Any]:
    """Return what a generator of the DAG's file is given; of a mapped one what it is mapped over too."""
    return [
        getattr(task, "op_args", ()),
        getattr(task, "op_kwargs", {}),
        getattr(task, "partial_kwargs", {}),
        getattr(expand_input_of(task), "value", None),
    ]


def _is_partition(piece: Any) -> bool:
    # A dict that holds a list or a dict is a set of arguments for expand_kwargs, and may stand there twice.
    return isinstance(piece, dict) and not any(isinstance(value, dict | list) for value in piece.values())


def _materialized(arguments: Any) -> Any:
    """Replace the lazy sequences that a mapped task's output arrives as by lists."""
    if isinstance(arguments, dict):
        return {name: _materialized(value) for name, value in arguments.items()}
    if isinstance(arguments, list | tuple):
        return type(arguments)(_materialized(value) for value in arguments)
    if isinstance(arguments, Sequence) and not isinstance(arguments, str | bytes | range):
        return list(arguments)
    return arguments


def _excerpt(plan: list[Any]) -> str:
    if not plan:
        return "nothing"
    ends = (
        repr(hide(piece, hidden_names()))[:200] for piece in (plan if len(plan) == 1 else (plan[0], plan[-1]))
    )
    return one_line(" … ".join(ends))
