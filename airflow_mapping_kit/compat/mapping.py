"""What is mapped over what, of declared and of serialized DAGs."""

from __future__ import annotations

from graphlib import TopologicalSorter
from typing import TYPE_CHECKING, Any, Literal

from airflow_mapping_kit.compat.database import own_session
from airflow_mapping_kit.compat.names import AIRFLOW_3

if TYPE_CHECKING:
    from airflow.utils.context import Context


def current_task_group(dag: Any) -> Any:
    """Return the task group that a task of a DAG file is in where it is declared now; of none the DAG's own."""
    if not TYPE_CHECKING and AIRFLOW_3:
        from airflow.sdk.definitions._internal.contextmanager import TaskGroupContext

        return TaskGroupContext.get_current(dag)
    from airflow.utils.task_group import TaskGroupContext

    return TaskGroupContext.get_current_task_group(dag)


def expand_input_of(operator: Any) -> Any | None:
    """Return what an operator, or else the mapped group around it, is mapped over.

    :param operator: an operator as its DAG keeps it, declared or serialized, not the unmapped one that a
        worker runs; or a mapped group itself.
    :return: Airflow's expand input, or `None` where nothing is mapped.
    """
    if is_mapped_operator(operator):
        return operator._get_specified_expand_input()  # noqa: SLF001 -- Airflow has no public name for it
    if hasattr(operator, "_expand_input"):
        return operator._expand_input  # noqa: SLF001 -- nor for this
    group = next(iter(operator.iter_mapped_task_groups()), None)
    return group._expand_input if group else None  # noqa: SLF001 -- nor for this


def resolve_expand_input(expand_input: Any, context: Context) -> dict[str, Any]:
    """Return the mapped arguments of the running instance: `{argument: value}`, literals unrendered.

    :param expand_input: what `expand` or `expand_kwargs` stored on a mapped operator or group.
    """
    if AIRFLOW_3:
        # Tasks have no database on 3.x; the SDK asks the execution API.
        mapped, _ = expand_input.resolve(context)
    else:
        with own_session() as session:
            mapped, _ = expand_input.resolve(context, session)
    return dict(mapped)


def group_argument_of(value: Any) -> str | None:
    """Return which argument of the mapped group around it a task takes, `None` if it is none of them."""
    if type(value).__name__.removeprefix("Scheduler") != "MappedArgument":
        return None
    name: str = value._key  # noqa: SLF001 -- Airflow has no public name for it
    return name


def in_order(dag: Any) -> list[Any]:
    """Return the tasks of a DAG so that each comes after those that it depends on.

    :param dag: declared, or serialized.
    """
    if hasattr(dag, "topological_sort"):
        return list(dag.topological_sort())
    # Airflow 3 gives serialized ones no way to ask.
    before = {task_id: sorted(task.upstream_task_ids) for task_id, task in dag.task_dict.items()}
    return [dag.task_dict[task_id] for task_id in TopologicalSorter(before).static_order()]


def is_mapped(operator: Any) -> bool:
    """Tell whether an operator, or a group around it, is mapped, of a declared DAG or of a serialized one."""
    return is_mapped_operator(operator) or any(True for _ in operator.iter_mapped_task_groups())


def is_mapped_operator(operator: Any) -> bool:
    """Tell whether an operator itself is mapped, of a declared DAG or of a serialized one.

    Airflow 3 has another class for the operators of serialized DAGs; what makes it one is what all have.
    """
    return hasattr(operator, "partial_kwargs")


def is_of_an_instance(operator: Any) -> bool:
    """Tell whether an operator is made for one instance of a mapped task, in the worker, not by the DAG's file."""
    return bool(getattr(operator, "_BaseOperator__from_mapped", False))  # Airflow has no public name for it


def is_reference(value: Any) -> bool:
    """Tell whether a value among literals stands for the output of a task, as a serialized DAG has it."""
    # Airflow gives back the task for what is all of an argument, and leaves what is deeper as it is.
    return type(value).__name__ == "_XComRef"


def is_serialized(operator: Any) -> bool:
    """Tell whether an operator is one of a serialized DAG, which knows no class of it."""
    # Airflow 2 has the class of declared ones for mapped ones too, and a dict in place of what they make.
    return type(operator).__name__.startswith("Serialized") or isinstance(
        getattr(operator, "operator_class", None), dict
    )


def is_taskflow(operator: Any) -> bool:
    """Tell whether a mapped operator is one that calls a function with what it was mapped over."""
    return hasattr(operator, "op_kwargs_expand_input")


_XCOM_KINDS: dict[str, Literal["plain", "map", "zip", "concat"]] = {
    "PlainXComArg": "plain",
    "MapXComArg": "map",
    "ZipXComArg": "zip",
    "ConcatXComArg": "concat",
}


def xcom_kind(value: Any) -> Literal["plain", "map", "zip", "concat"] | None:
    """Return which kind of reference to XComs a mapped argument is, `None` if it is a literal.

    Airflow 3 has each class twice, once for the scheduler: `PlainXComArg` and `SchedulerPlainXComArg`.
    """
    return _XCOM_KINDS.get(type(value).__name__.removeprefix("Scheduler"))
