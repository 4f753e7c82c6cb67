"""The task behind every generator: calls a function, checks the plan, returns it as JSON."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Sequence
from contextlib import nullcontext
from typing import TYPE_CHECKING, Any, Literal, ParamSpec, TypeVar, cast

from airflow_mapping_kit.compat import (
    AirflowSkipException,
    DecoratedOperator,
    bad_input_fails_at_once,
    custom_xcom_backend,
    expand_input_of,
    hidden_names,
    is_of_an_instance,
    parts,
    set_plain_xcom,
    task_decorator_factory,
)
from airflow_mapping_kit.exceptions import PlanError
from airflow_mapping_kit.generators.consumers import (
    Uses,
    longest_map,
    refuse_context_names,
    takes_arguments,
    uses_of,
)
from airflow_mapping_kit.generators.rendered import read_rendered
from airflow_mapping_kit.generators.sizes import size_of
from airflow_mapping_kit.partitions import unique_partitions
from airflow_mapping_kit.partitions.hidden import hide
from airflow_mapping_kit.partitions.limits import at_most
from airflow_mapping_kit.partitions.sequences import read, shown
from airflow_mapping_kit.plans.arguments import known_at_run_time
from airflow_mapping_kit.plans.naming import check_fields, check_named, fields_of
from airflow_mapping_kit.plans.planned import references
from airflow_mapping_kit.plans.slices import Slice
from airflow_mapping_kit.printable import one_line
from airflow_mapping_kit.reading.records import SLICES_KEY

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping

    from airflow.decorators.base import Task
    from airflow.utils.context import Context

    from airflow_mapping_kit.generators.again import Given
    from airflow_mapping_kit.plans.slicing import Planned

parts.need(parts.GENERATORS)

P = ParamSpec("P")
R = TypeVar("R")

ON_EMPTY = ("skip", "fail")
_RULE = "a task maps directly over {}: Airflow maps over at most {:,} ([core] max_map_length)."


class GeneratorOperator(DecoratedOperator):
    """Call a function that returns a plan, and check the plan before Airflow maps over it.

    The function gets only the arguments that it is called with. Unlike a `@task`, it never gets Airflow's context as
    keyword arguments, so `**dimensions` contains only dimensions.

    :param on_empty: what to do if the plan is empty: `"skip"` the task and the tasks that are mapped over it, or
        `"fail"`. Default `"skip"`.
    :param key: for pieces that are dicts, the fields that name a piece: `"id"`, or `["country", "id"]`. The key of a
        piece, its row in the fan-in and its default label use only these fields. Default: all fields.
    :param batch_size: how many pieces a batch has, if batched tasks are mapped over the plan. Default: a
        `@task.batched` gets batches that make at most 256 instances, with at least 50 pieces each. Other tasks get
        single pieces. Pieces that are lists already stay as they are (templated).
    """

    custom_operator_name = "generator"
    # Serialized with them: the scheduler names pieces too.
    template_fields: Sequence[str] = (*DecoratedOperator.template_fields, "named_by", "batch_size")
    # Whether the function has an argument `batch_size` that says the same as that of the operator, which it leaves
    # to it: what it makes are pieces.
    leaves_batches_to_the_operator = False
    # Whether a run can be told to work on what another has not done of its batches, and on nothing else.
    gives_what_is_not_done = True
    # Whether what the function makes is the plan: then it counts the pieces before it makes them.
    makes_the_plan = False

    def __init__(
        self,
        *,
        on_empty: Literal["skip", "fail"] = "skip",
        key: str | Sequence[str] | None = None,
        batch_size: int | str | None = None,
        **kwargs: Any,
    ) -> None:
        check_fields(key)
        if not known_at_run_time(batch_size):
            size_of(batch_size)
        if batch_size is not None and "batch_size" in (kwargs.get("op_kwargs") or {}):
            raise PlanError(
                f"batch_size is given twice, as the argument {shown(kwargs['op_kwargs']['batch_size'])} and by "
                f".override(batch_size={batch_size!r}): leave one of them out."
            )
        if on_empty not in ON_EMPTY:
            raise PlanError(f"on_empty={on_empty!r} is unknown: choose one of {', '.join(ON_EMPTY)}.")
        super().__init__(**kwargs)
        self.on_empty = on_empty
        self.named_by = fields_of(key)
        self.batch_size = batch_size
        # Of a mapped generator Airflow makes one without its mapped arguments, and in the worker one an instance.
        if not kwargs.get("_airflow_mapped_validation_only") and not is_of_an_instance(self):
            self.check_literals()

    def check_literals(self) -> None:
        """Check the literals when the DAG is parsed.

        :raises MappingKitError: if the function can't make a plan of them.
        """

    def execute(self, context: Context) -> Any:
        """Return the checked plan, a JSON list."""
        # Every instance of the DAG pays for what its file imports: what only a generator takes waits for it.
        from airflow_mapping_kit.generators.again import given_again

        args, kwargs = _materialized(self.op_args), _materialized(self.op_kwargs)
        instance: Any = context["ti"]
        with bad_input_fails_at_once():
            again = given_again(self.task_id, context) if self._is_planned_with() else None
            plan, items, where = (
                self._planned(args, kwargs, instance.map_index, instance)
                if again is None
                else self._planned_again(again, instance)
            )
        # What another generator takes may be empty: whether anything is to be done, that one says.
        if not plan and not self._is_taken_by_a_generator():
            if again is not None:
                raise AirflowSkipException(again.said)
            raise AirflowSkipException(
                f"{self.task_id} made an empty plan, so Airflow skips the tasks that are mapped over it. If this is "
                'an error, set .override(on_empty="fail").'
            )
        if again is not None:
            self.log.info("The function of %s is not called: %s", self.task_id, again.said)
        if where is None:
            self.log.info("%s made a plan of %d pieces: %s", self.task_id, len(plan), _excerpt(plan))
        else:
            self.log.info(
                "%s made a plan of %s items in %d batches. The items are stored in %s, and XComs have only their "
                "places",
                *(self.task_id, f"{items:,}", len(plan), where),
            )
            if custom_xcom_backend():
                set_plain_xcom(
                    instance, SLICES_KEY, [_as_shown(held) for held in map(Slice.of, plan) if held]
                )
        return plan

    def _is_planned_with(self) -> bool:
        """Tell whether a task is mapped over the plan, or another generator takes it."""
        return any(True for _ in self.iter_mapped_dependants()) or self._is_taken_by_a_generator()

    def _is_taken_by_a_generator(self) -> bool:
        return any(
            self.task_id == source.task_id
            for task in self.downstream_list
            if issubclass(getattr(task, "operator_class", type(task)), GeneratorOperator)
            for source in references(_arguments_of(task))
        )

    def made_of(self, args: Sequence[Any], kwargs: Mapping[str, Any], *, map_index: int = -1) -> list[Any]:
        """Return the checked plan that the function makes of some arguments, as a whole list.

        :raises MappingKitError: if the arguments make no plan, or one that Airflow can't map over.
        """
        return self._planned(args, kwargs, map_index).batches

    def _planned(
        self, args: Sequence[Any], kwargs: Mapping[str, Any], map_index: int, instance: Any = None
    ) -> Planned:
        """Return the checked plan that the function makes of some arguments.

        :param instance: the running instance, which may store a large plan elsewhere.
        """
        from airflow_mapping_kit.plans.marks import Cut
        from airflow_mapping_kit.plans.slicing import Planned, begins_with_a_batch, planned

        args, kwargs = read_rendered(self.python_callable, args, kwargs)
        size = size_of(self.batch_size)
        if self.leaves_batches_to_the_operator:
            size = size_of(kwargs.pop("batch_size", size))
        # A mapped generator pushes one list an instance, and Airflow maps over the instances: no limit.
        over, uses = ([], Uses()) if map_index >= 0 else (list(self.iter_mapped_dependants()), uses_of(self))
        counts_pieces = over and self.makes_the_plan and size is None and not uses.needs_batches
        with at_most(longest_map(), self._too_long) if counts_pieces else nullcontext():
            made = self.python_callable(*args, **kwargs)
            ready, made = (False, made) if size else begins_with_a_batch(made)
            as_it_is = not size and not (uses.takes_slices if ready else uses.needs_batches)
            beside = instance is not None and uses.takes_slices
            # What goes elsewhere may be longer than what has to be in memory at once.
            plan = made if beside and not as_it_is else read(f"the plan of {self.task_id}", made)
        if isinstance(plan, list):
            number = -(-len(plan) // size) if size else len(plan) if as_it_is or ready else 0
            self._check_length(number, plan, over, items=len(plan) if size else None)
        if as_it_is:
            self._check(plan, over)
            return Planned(plan, len(plan), None)
        cut = Cut(self.task_id, longest_map() if over else sys.maxsize, size, ready, self.named_by)
        batches = planned(plan, cut, _place_of(instance) if beside else None)
        if not batches.batches:
            self._check([], over)
        return batches

    def _planned_again(self, again: Given, instance: Any) -> Planned:
        """Return the plan of what another run has not done, in place of the function's plan."""
        from airflow_mapping_kit.plans.marks import Cut
        from airflow_mapping_kit.plans.slicing import planned

        place = _place_of(instance) if uses_of(self).takes_slices else None
        return planned(
            again.items, Cut(self.task_id, longest_map(), again.size, named_by=self.named_by), place
        )

    def _check_length(
        self, number: int, plan: list[Any], over: Collection[Any], *, items: int | None
    ) -> None:
        limit = longest_map()
        if over and number > limit:
            remedy = self.remedy(plan, limit) if items is None else _larger(items, limit)
            raise PlanError(
                f"{self.task_id} made {number:,} {'pieces' if items is None else 'batches'}, and "
                f"{_RULE.format('them', limit)} {remedy}"
            )

    def _check(self, plan: list[Any], over: Collection[Any]) -> None:
        if not plan and self.on_empty == "fail":
            raise PlanError(
                f"{self.task_id} made an empty plan. Check its arguments. If an empty plan is fine, set "
                '.override(on_empty="skip").'
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
        """Return how to make a plan fit that is too long."""
        if all(isinstance(piece, list) for piece in plan):
            return _larger(sum(map(len, plan)), limit)
        return self._in_batches(len(plan), limit)

    def _in_batches(self, number: int, limit: int) -> str:
        return f"Map over batches({self.task_id}, batch_size={-(-number // limit)})."


class PureGeneratorOperator(GeneratorOperator):
    """A generator whose plan depends only on its arguments: literals are checked when the DAG is parsed."""

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
    """Turn a function that returns or yields a list into a generator.

    You call it in a DAG like any TaskFlow task. Each argument is a literal, a template or the output of another task.

    :param function: returns the plan, a list of JSON values, or yields them one by one. It is called without
        Airflow's context.
    :param operator_class: the operator that runs it.
    :return: a TaskFlow task, with `.override(task_id=..., on_empty=...)` and `.partial().expand()`.

    Example: `hours = generator(lambda day: [f"{day}T{h:02}" for h in range(24)])`.
    """
    task = task_decorator_factory(
        python_callable=function, multiple_outputs=False, decorated_operator_class=operator_class
    )
    return cast("Task[P, R]", task)


def _place_of(instance: Any) -> Any:
    """Return where a running instance stores a plan that is too large for an XCom."""
    from airflow_mapping_kit.plans.chunks import chunks
    from airflow_mapping_kit.plans.plan_files import plan_file
    from airflow_mapping_kit.storage.place import root

    return chunks(instance) if root() is None else plan_file(instance)


def _larger(items: int, limit: int) -> str:
    return f"Make the batches larger: batch_size={-(-items // limit)}."


def refuse_empty_dimensions(operator: GeneratorOperator) -> None:
    """Raise an error if a literal dimension has no values, because nothing would ever be done.

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
    """Return the arguments of a generator in the DAG file; for a mapped generator, also the mapped ones."""
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


def _as_shown(held: Slice) -> dict[str, Any]:
    """Return a slice as JSON, without an end of which a label would hide a field."""
    names = hidden_names()
    return held._replace(ends=[end if hide(end, names) == end else None for end in held.ends]).as_json()


def _excerpt(plan: list[Any]) -> str:
    if not plan:
        return "nothing"
    ends = (
        repr(hide(piece, hidden_names()))[:200] for piece in (plan if len(plan) == 1 else (plan[0], plan[-1]))
    )
    return one_line(" … ".join(ends))
