"""The arguments of a running instance: all of them, and those that it was mapped over."""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Any

from airflow_mapping_kit.compat import (
    AIRFLOW_3,
    expand_input_of,
    group_argument_of,
    is_mapped_operator,
    is_reference,
    resolve_expand_input,
    xcom_kind,
)
from airflow_mapping_kit.plans.planned import calls_functions, chosen_key, filled, key_of, references
from airflow_mapping_kit.reading import supervisor, tables

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from airflow.utils.context import Context


def arguments(task: Any) -> dict[str, Any]:
    """Return the arguments of an unmapped, rendered task by name, as its author knows them.

    :param task: the operator that runs. Of a TaskFlow task the arguments are those of the function,
        positional ones included.
    """
    if hasattr(task, "python_callable") and hasattr(task, "op_kwargs"):
        named = {**task.op_kwargs}
        try:
            bound = inspect.signature(task.python_callable).bind_partial(*task.op_args)
        except TypeError:
            return named
        return {**bound.arguments, **named}
    # What the constructor was given says which attributes are arguments; their values are the rendered ones.
    given = getattr(task, "_BaseOperator__init_kwargs", {})
    return {name: getattr(task, name, value) for name, value in given.items()}


def mapped_arguments(context: Context) -> dict[str, Any]:
    """Return what the running instance was mapped over: `{argument: value}`.

    Inside a mapped task group these are the group's arguments, whether the task takes them or not. Literals
    that are templates, or that refer to the output of a task, are as the task gets them. Values of an XCom are never
    rendered.

    :param context: the context of the task, after its templates were rendered.
    """
    task = context["task"]
    # The DAG keeps the operator as it was declared: `task` itself is unmapped and has forgotten it.
    declared: Any = task.dag.get_task(task.task_id)
    expand_input = expand_input_of(declared)
    if expand_input is None:
        return {}
    if not is_mapped_operator(declared):
        of_group = resolve_expand_input(expand_input, context)
        if calls_functions(expand_input.value):
            # It has just been called once more, and may give something else than the task got.
            of_group.update(_taken(task, declared))
        return _without_references(of_group, context)
    mapped = _given(task, declared, expand_input)
    if mapped is None:
        given = getattr(task, "_BaseOperator__init_kwargs", {})
        # The names alone: a function that is called once more may give something else than the task got.
        mapped = {
            name: given.get(name, value)
            for name, value in resolve_expand_input(expand_input, context).items()
        }
    rendered = arguments(task)
    seen = {
        name: rendered.get(name, value) if has_template(value) else value for name, value in mapped.items()
    }
    return _without_references(seen, context)


def key_of_instance(task: Any, mapped: Mapping[str, Any]) -> str:
    """Return the key of the piece that an instance works on.

    :param task: its operator, as the worker runs it.
    :param mapped: what it was mapped over.
    """
    return key_of(mapped, _over(task))


def chosen_key_of_instance(task: Any, mapped: Mapping[str, Any]) -> str | None:
    """Return the key of the piece if a generator has chosen which fields name it, else `None`."""
    return chosen_key(mapped, _over(task))


def _over(task: Any) -> Any:
    return getattr(expand_input_of(task.dag.get_task(task.task_id)), "value", None)


def _without_references(mapped: dict[str, Any], context: Context) -> dict[str, Any]:
    """Return arguments in which the outputs of tasks replace the references to them.

    Airflow resolves references inside literals only when it renders a task, and not at all in `expand_kwargs` and in
    mapped groups.
    """
    wanted = set(references(mapped))
    if not wanted:
        return mapped
    instance: Any = context["ti"]
    if AIRFLOW_3:  # a task has no database there
        found = supervisor.pushed(instance, context["task"].dag, wanted)
    else:
        found = tables.pushed(instance.dag_id, instance.run_id, wanted)
    return dict(filled(mapped, found.get))


def _taken(task: Any, declared: Any) -> dict[str, Any]:
    """Return those arguments of the mapped group that a task takes as its own, as it got them."""
    got = arguments(task)
    names = {name: group_argument_of(given) for name, given in arguments(declared).items()}
    return {
        of_group: got[name]
        for name, of_group in names.items()
        if of_group and not group_argument_of(got[name])
    }


def _given(task: Any, declared: Any, expand_input: Any) -> dict[str, Any] | None:
    """Return the mapped arguments that the unmapped operator was made with; `None` if it doesn't have them.

    Airflow has just resolved them. Doing it again would cost every instance a connection and some queries.
    """
    given = getattr(task, "_BaseOperator__init_kwargs", {})
    fixed = declared.partial_kwargs
    if "op_kwargs" in given:
        given, fixed = given["op_kwargs"], fixed.get("op_kwargs", {})
    elif not isinstance(expand_input.value, dict):
        # What Airflow adds to a classic operator can't be told from an entry of `expand_kwargs`.
        return None
    names = (
        list(expand_input.value) if isinstance(expand_input.value, dict) else [*given.keys() - fixed.keys()]
    )
    return {name: given[name] for name in names} if all(name in given for name in names) else None


def has_template(value: Any) -> bool:
    """Tell whether a value holds text that Airflow renders when a task runs, however nested."""
    return _anywhere(value, _is_template)


def has_reference(value: Any) -> bool:
    """Tell whether a value of a serialized DAG holds the output of a task deeper than a plan does."""
    return _anywhere(value, is_reference)


def has_group_argument(value: Any, name: str) -> bool:
    """Tell whether a value holds an argument of the mapped group around its task, however nested."""
    return _anywhere(value, lambda one: group_argument_of(one) == name)


def has_text(value: Any, test: Callable[[str], bool]) -> bool:
    """Tell whether a value holds a text of which something is true, however nested."""
    return _anywhere(value, lambda one: isinstance(one, str) and test(one))


def known_at_run_time(value: Any) -> bool:
    """Tell whether a value holds a template or the output of a task, however nested."""
    return _anywhere(value, lambda one: is_reference(one) or xcom_kind(one) is not None or _is_template(one))


def _is_template(value: Any) -> bool:
    return isinstance(value, str) and ("{{" in value or "{%" in value)


def _anywhere(value: Any, test: Callable[[Any], bool]) -> bool:
    if test(value):
        return True
    if isinstance(value, dict):
        value = value.values()
    elif not isinstance(value, list | tuple):
        return False
    return any(_anywhere(each, test) for each in value)
