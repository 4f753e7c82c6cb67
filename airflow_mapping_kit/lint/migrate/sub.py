"""The tasks of the DAG that was started once an item, as a mapped task, or as a mapped group where they are several."""

from __future__ import annotations

import ast
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from airflow_mapping_kit.lint.kinds import task_decorator
from airflow_mapping_kit.lint.migrate import functions
from airflow_mapping_kit.lint.migrate.called import calls as calls_of
from airflow_mapping_kit.lint.migrate.changes import Changes, extent
from airflow_mapping_kit.lint.migrate.conf import reads
from airflow_mapping_kit.lint.migrate.item import field, pulls, reads_a_run, takes_the_item, templates
from airflow_mapping_kit.lint.migrate.module import LABEL
from airflow_mapping_kit.lint.migrate.refused import Refused
from airflow_mapping_kit.lint.operators import all_made

if TYPE_CHECKING:
    from collections.abc import Mapping

    from airflow_mapping_kit.lint.migrate.called import Call
    from airflow_mapping_kit.lint.migrate.conf import Function
    from airflow_mapping_kit.lint.migrate.dags import Dag
    from airflow_mapping_kit.lint.migrate.trigger import Trigger


@dataclass
class Part:
    """What stands in the new DAG for the tasks.

    :param text: functions and, of a group, what is in it.
    :param mapped: the code of the mapped task or group.
    :param uses_params: whether they read the DAG's params.
    :param others: what of the DAG's code `mapped` has.
    """

    text: str
    mapped: str
    uses_params: bool = False
    others: tuple[ast.expr, ...] = ()


def as_mapped(
    sub: Dag, trigger: Trigger, column: int, settings: Mapping[str, str], *, taken: set[str]
) -> Part:
    """Return a DAG's tasks as a mapped task or group of an item.

    :param column: of the statements of the new DAG.
    :param settings: arguments that a task of the DAG gets, as code.
    :param taken: names that mean something else there: then the tasks are in a group.
    """
    if sub.mapped_line():
        raise Refused(
            f"{sub.source.path}:{sub.mapped_line()}: {sub.dag_id} has a mapped task, and a mapped group can't contain "
            f"one. Keep this DAG, and start it with TriggerDagRunPerItemOperator."
        )
    calls = calls_of(sub)
    operators = [
        one for one in all_made(sub.source)
        if any(one.call is node for node in sub.walk()) and not any(one.call is call.node for call in calls)
    ]  # fmt: skip
    if not calls and not operators:
        raise Refused(f"{sub.source.path}: {sub.dag_id} has no task that can be read.")
    bound = {one.function.name for one in calls} | {
        node.id for node in sub.walk() if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)
    }
    is_one = len(calls) == 1 and not operators and not bound & taken and _stands_alone(sub, calls[0])
    changes = Changes(sub.source, column - sub.indentation + (0 if is_one else 4))
    return (_as_task if is_one else _as_group)(sub, calls, trigger, column, settings, changes, taken)


def _as_task(
    sub: Dag, calls: list[Call], trigger: Trigger, column: int, settings: Mapping[str, str], changes: Changes,
    taken: set[str],
) -> Part:  # fmt: skip
    (call,) = calls
    del taken
    label = f'{LABEL}("{{trigger_run_id}}")' if trigger.has_conf else f"{LABEL}()"
    fields = {name: found for name, value in call.given.items() if (found := field(sub, value))}
    uses_params = takes_the_item(sub, changes, call.function, trigger, {**fields}, always=True)
    _settings(sub, changes, call.function, {"map_index_template": label, **settings})
    statement = next(one for one in sub.body if any(call.node is node for node in ast.walk(one)))
    changes.leave_out(statement)
    others = [*call.node.args, *(one.value for one in call.node.keywords if one.arg != "python_callable")]
    rest = {name: value for name, value in call.given.items() if name not in fields}
    for name, value in rest.items():
        if reads_a_run(value):
            changes.todo(
                call.function, f"{name} is a template that reads a run's conf: use the item here instead."
            )
        if pulls(value):
            changes.todo(
                call.function,
                f"{name} is a template with an xcom_pull: the task and its DAG have other ids now. Correct those that "
                "it names.",
            )
    given = ", ".join(f"{name}={value}" for name, value in rest.items())
    partial = f".partial({given})" if given else ""
    text = _moved(sub, changes, calls, column) + changes.statements(sub.body)
    mapped = f"{call.name}{partial}.expand({trigger.item}={trigger.items})"
    return Part(text, mapped, uses_params, tuple(others))


def _as_group(
    sub: Dag, calls: list[Call], trigger: Trigger, column: int, settings: Mapping[str, str], changes: Changes,
    taken: set[str],
) -> Part:  # fmt: skip
    uses_params = False
    own = {one.function: _reads_an_item(one.function, sub) for one in calls}
    for function in own:
        uses_params |= takes_the_item(sub, changes, function, trigger, {}, always=False)
        _settings(sub, changes, function, {})
    for call in calls:
        item = {trigger.item: trigger.item} if own[call.function] else {}
        if (
            call.settings
            or isinstance(call.node.func, ast.Attribute)
            or call.name != sub.source.code(call.node.func)
        ):
            text = ", ".join(f"{name}={value}" for name, value in {**item, **call.given}.items())
            changes.replace(call.node, f"{call.name}({text})")
        else:
            functions.given(changes, call.node, item)
    for statement in sub.body:
        templates(changes, statement, sub)
    indentation = " " * column
    plain = sub.node.name if isinstance(sub.node, ast.FunctionDef) else re.sub(r"\W", "_", sub.dag_id)
    name = functions.free([plain, f"{plain}_of_an_item"], taken)
    given = ", ".join([f'group_id="{name}"', *([f"default_args={_as_dict(settings)}"] if settings else [])])
    head = f"\n{indentation}@task_group({given})\n{indentation}def {name}({trigger.item}):\n"
    body = (_moved(sub, changes, calls, column + 4) + changes.statements(sub.body)).lstrip("\n")
    return Part(head + body, f"{name}.expand({trigger.item}={trigger.items})", uses_params)


def _as_dict(settings: Mapping[str, str]) -> str:
    if list(settings) == ["default_args"]:
        return settings["default_args"]
    parts = [
        f"**{value}" if name == "default_args" else f'"{name}": {value}' for name, value in settings.items()
    ]
    return f"{{{', '.join(parts)}}}"


def names_within(sub: Dag) -> set[str]:
    """Return the names that the tasks of a DAG use: what an item is called has to be another one."""
    trees = [sub.node, *(one.function for one in calls_of(sub))]
    return {
        name
        for tree in trees
        for one in ast.walk(tree)
        for name in [one.id if isinstance(one, ast.Name) else one.arg if isinstance(one, ast.arg) else ""]
    }


def _stands_alone(sub: Dag, call: Call) -> bool:
    """Tell whether a task is made by a statement that is nothing else."""
    parent = sub.source.parents[call.node]
    return isinstance(parent, ast.Expr | ast.Assign) and any(parent is one for one in sub.body)


def _reads_an_item(function: Function, sub: Dag) -> bool:
    found = reads(sub.source, function)
    return bool(found.conf or found.params)


def _settings(sub: Dag, changes: Changes, function: Function, settings: Mapping[str, str]) -> None:
    found = task_decorator(sub.source, function)
    if found is None:
        text = ", ".join(f"{name}={value}" for name, value in settings.items())
        changes.line_before(function, f"@task({text})" if text else "@task")
    else:
        functions.decorated(changes, found[1], settings)


def _moved(sub: Dag, changes: Changes, calls: list[Call], column: int) -> str:
    """Return the functions of tasks that stand outside of the DAG's body, moved into it."""
    top = sub.source.tree
    outside = {one.function: None for one in calls if sub.source.parents[one.function] is top}
    kept = changes.shift
    changes.shift = column
    texts = [changes.text(*extent(sub.source, one)).strip("\n") for one in outside]
    changes.shift = kept
    return "".join(f"\n{text}\n" for text in texts) + ("\n" if texts else "")
