"""Where a DAG starts a run of another one for each item."""

from __future__ import annotations

import ast
from dataclasses import dataclass
from typing import TYPE_CHECKING

from airflow_mapping_kit.lint.migrate.refused import Refused
from airflow_mapping_kit.lint.operators import constant, made, mapped
from airflow_mapping_kit.lint.origins import value_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from airflow_mapping_kit.lint.migrate.dags import Dag

_TRIGGER = "TriggerDagRunOperator"
# What a mapped task needs no more.
_OF_A_TRIGGER = frozenset(
    "task_id trigger_dag_id trigger_run_id wait_for_completion deferrable poke_interval reset_dag_run allowed_states "
    "failed_states conf dag logical_date execution_date skip_when_already_exists fail_when_dag_is_paused".split()
)


@dataclass(frozen=True, eq=False)
class Trigger:
    """A task that starts runs.

    :param node: what it is: a call, or a loop that makes one trigger an item.
    :param statement: the statement of the DAG's body that it is in.
    :param items: the code of the list of items.
    :param item: what an item is called.
    :param has_conf: whether an item is what `expand_kwargs` gives a trigger, with the run's `conf` in it.
    :param waits: whether it waits for its runs.
    :param others: arguments that say something of the task, by name.
    """

    node: ast.Call | ast.For
    statement: ast.stmt
    items: str
    item: str
    has_conf: bool
    waits: bool
    others: Mapping[str, ast.expr]

    @property
    def conf(self) -> str:
        """The code of an item's `conf`."""
        return f'{self.item}["conf"]' if self.has_conf else self.item


def per_item(main: Dag, sub: Dag) -> Trigger:
    """Return where a DAG starts a run of another one an item.

    :raises Refused: if it doesn't, or at several places.
    """
    calls = [call for call, dag_id in _started(main) if dag_id == sub.dag_id]
    found = [one for one in (_trigger(main, call) for call in calls) if one is not None]
    where = f"{main.source.path}: {main.dag_id}"
    if len(found) > 1:
        lines = " and ".join(str(one.node.lineno) for one in found)
        raise Refused(f"{where} starts {sub.dag_id} in several places, lines {lines}. Keep only one of them.")
    if found:
        return found[0]
    if calls:
        raise Refused(
            f"{where} starts {sub.dag_id} once, in line {calls[0].lineno}, and not once per item: there is nothing to "
            f"map over."
        )
    others = sorted({dag_id for _, dag_id in _started(main) if dag_id})
    raise Refused(
        f"{where} has no TriggerDagRunOperator for {sub.dag_id}"
        + (
            f". It has some for {', '.join(others)}."
            if others
            else ". A run that a task starts in its own code can't be converted."
        )
    )


def of_poll(main: Dag, poll: Dag) -> ast.Call | None:
    """Return the call by which a DAG starts the one that polls, `None` where it starts it nowhere."""
    return next((call for call, dag_id in _started(main) if dag_id == poll.dag_id), None)


def statement_of(dag: Dag, node: ast.AST) -> ast.stmt:
    """Return the statement of a DAG's body that a node is in."""
    inside: ast.AST = node
    while not any(inside is one for one in dag.body):
        inside = dag.source.parents[inside]
    return inside  # type: ignore[return-value]


def _started(main: Dag) -> Iterator[tuple[ast.Call, str]]:
    """Yield the triggers of a DAG's body, with the id of the DAG that each starts."""
    for node in main.walk():
        if not isinstance(node, ast.Call):
            continue
        one = mapped(main.source, main.reaches, node)
        plain = made(main.source, node) if one is None else None
        if one is not None and one.path.endswith(_TRIGGER):
            given = {**one.fixed, **one.over}
        elif plain is not None and plain.name == _TRIGGER:
            given = dict(plain.given)
        else:
            continue
        dag_id = constant(value_of(main.source, given.get("trigger_dag_id")))
        yield node, dag_id if isinstance(dag_id, str) else ""


def _trigger(main: Dag, call: ast.Call) -> Trigger | None:
    source, statement = main.source, statement_of(main, call)
    one = mapped(source, main.reaches, call)
    if one is None:
        return _in_a_loop(main, call, statement)
    others = {name: value for name, value in one.fixed.items() if name not in _OF_A_TRIGGER}
    waits = constant(one.fixed.get("wait_for_completion")) is True
    over = set(one.over)
    if one.sets is not None and "conf" not in one.fixed:
        return Trigger(call, statement, source.code(one.sets), "run", True, waits, others)
    if over == {"conf"}:
        return Trigger(call, statement, source.code(one.over["conf"]), "item", False, waits, others)
    what = ", ".join(sorted(over)) or "something without a conf"
    raise Refused(
        f"{source.path}:{call.lineno}: the trigger is mapped over {what}. Map it over the conf of the runs: "
        f"expand(conf=...) or expand_kwargs(...)."
    )


def _in_a_loop(main: Dag, call: ast.Call, statement: ast.stmt) -> Trigger | None:
    """Return the trigger that a loop makes once an item while the file is parsed."""
    source, one = main.source, made(main.source, call)
    if one is None or not isinstance(statement, ast.For) or statement.orelse:
        return None
    conf = one.given.get("conf")
    inner = statement.body[0]
    if len(statement.body) > 1 or conf is None or getattr(inner, "value", None) is not call:
        raise Refused(
            f"{source.path}:{statement.lineno}: the loop does more than create a trigger with a conf per item. Move "
            f"everything else out of it."
        )
    items = f"[{source.code(conf)} for {source.code(statement.target)} in {source.code(statement.iter)}]"
    others = {name: value for name, value in one.given.items() if name not in _OF_A_TRIGGER}
    waits = constant(one.given.get("wait_for_completion")) is True
    return Trigger(statement, statement, items, "item", False, waits, others)
