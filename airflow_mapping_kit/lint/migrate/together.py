"""One DAG from a DAG that starts a run for each item, the DAG that it starts, and the DAG that polls."""

from __future__ import annotations

import ast
import re
from dataclasses import replace
from typing import TYPE_CHECKING

from airflow_mapping_kit.lint.migrate import functions, needed, params, poll, sub
from airflow_mapping_kit.lint.migrate.changes import TODO, Changes, extent
from airflow_mapping_kit.lint.migrate.module import Taken, module
from airflow_mapping_kit.lint.migrate.refused import Refused
from airflow_mapping_kit.lint.migrate.report import assigned, in_place_of_the_poll, waits_for_the_report
from airflow_mapping_kit.lint.migrate.trigger import Trigger, per_item

if TYPE_CHECKING:
    from airflow_mapping_kit.lint.migrate.dags import Dag

# What a DAG says of its runs, and a task of another one can't.
_OF_RUNS = (
    "on_failure_callback", "on_success_callback", "sla_miss_callback", "dagrun_timeout", "user_defined_macros",
    "user_defined_filters", "template_searchpath", "render_template_as_native_obj", "access_control",
)  # fmt: skip


def together(main: Dag, started: Dag, polling: Dag | None, new_id: str) -> str:
    """Return the file of one DAG that does what two or three did.

    :param main: the DAG that starts a run of another one an item.
    :param started: the other one.
    :param polling: the one that waits for those runs; `None` where the main DAG does, or nobody.
    :param new_id: of the DAG that is written.
    :raises Refused: if no such DAG can be written.
    """
    trigger = per_item(main, started)
    item = functions.free([trigger.item, f"{trigger.item}_to_do"], sub.names_within(started))
    trigger = replace(trigger, item=item)
    changes = Changes(main.source)
    taken = {name for one in main.body for name in needed.bound(one)}
    column = main.indentation
    part = sub.as_mapped(started, trigger, column, _settings(started), taken=taken)
    indentation = " " * column
    head = "".join(f"{indentation}{TODO}{text}\n" for text in _todos(main, started, trigger))
    name = _in_place_of_the_trigger(changes, main, trigger, part, f"{head}{part.text.strip(chr(10))}\n\n")
    report, code, conf = in_place_of_the_poll(changes, main, started, polling, trigger, name)
    tail = ""
    if polling is not None:
        follows = Changes(polling.source, column - polling.indentation)
        poll.reading_a_report(
            follows, polling, trigger, started.dag_id, report, poll.fields(main.source, conf)
        )
        tail = "\n" + follows.statements(polling.body).lstrip("\n")
        _apart(main, polling, tail, part.text)
    if polling is None and code:
        poll.reading_a_report(changes, main, trigger, started.dag_id, report, None)
    if part.uses_params:
        params.of_both(changes, main, started)
    if polling is not None and "params" in polling.given:
        params.of_both(changes, main, polling)
    if code:
        waits_for_the_report(changes, main, name, report)
    own = _renamed(changes, main, new_id)
    text = changes.text(*extent(main.source, main.node)).strip("\n") + "\n"
    # Both the trigger and the poll are the fan-in now.
    text = re.sub(rf"\b{report} (?:>>|<<) (?={report}\b)", "", text)
    call = f"\n\n{own}()\n" if isinstance(main.node, ast.FunctionDef) else ""
    its = (started.given["params"],) if part.uses_params else ()
    parts = [Taken(main, text), Taken(started, part.text, (*its, *part.others))]
    if polling is not None:
        its = (polling.given["params"],) if "params" in polling.given else ()
        parts.append(Taken(polling, tail, its))
    return module(parts, text + tail + call)


def _settings(started: Dag) -> dict[str, str]:
    """Return what a task gets that was a DAG's."""
    found = {}
    if "max_active_runs" in started.given:
        found["max_active_tis_per_dagrun"] = started.source.code(started.given["max_active_runs"])
    if "default_args" in started.given:
        found["default_args"] = started.source.code(started.given["default_args"])
    return found


def _todos(main: Dag, started: Dag, trigger: Trigger) -> list[str]:
    found = [
        f"{started.dag_id} had {name}={_short(started.source.code(started.given[name]))} for each of its runs: set on "
        f"the tasks what they still need."
        for name in _OF_RUNS
        if name in started.given
    ]
    for name in ("schedule", "schedule_interval"):
        value = started.given.get(name)
        if value is not None and not (isinstance(value, ast.Constant) and value.value is None):
            code = _short(started.source.code(value))
            found.append(f"{started.dag_id} also ran by {name}={code}. This DAG doesn't: is that right?")
    for name, value in trigger.others.items():
        found.append(f"the trigger had {name}={_short(main.source.code(value))}: does each item need it?")
    if "default_args" in main.given and "default_args" not in started.given:
        found.append(
            f"the default_args of {main.dag_id} now also apply to the tasks of {started.dag_id}: check them."
        )
    return found


def _in_place_of_the_trigger(changes: Changes, main: Dag, trigger: Trigger, part: sub.Part, text: str) -> str:
    """Put the mapped task where the trigger was; return the variable that it is."""
    at = extent(main.source, trigger.statement)[0]
    statement, indentation = trigger.statement, " " * main.indentation
    changes.without_noqa(trigger.node)
    if statement is not main.body[0]:
        text = f"\n{text}"
    if trigger.node is not statement:
        changes.comments_above(statement, trigger.node)
    name = assigned(statement, trigger.node)
    if name:
        changes.replace_at(at, at, text)
        changes.replace(trigger.node, part.mapped)
        return name
    taken = needed.names_of(main.source.tree) | needed.names_of(ast.parse(part.mapped))
    name = functions.free(["done", "mapped", "mapped_items"], taken)
    changes.replace_at(at, at, f"{text}{indentation}{name} = {part.mapped}\n")
    if isinstance(statement, ast.For) or (
        isinstance(statement, ast.Expr) and statement.value is trigger.node
    ):
        changes.leave_out(statement)
    else:
        changes.replace(trigger.node, name)
    return name


def _apart(main: Dag, polling: Dag, tail: str, mapped: str) -> None:
    own = {name for one in needed.parsed(tail) for name in needed.bound(one)}
    others = {name for one in main.body for name in needed.bound(one)}
    others |= {name for one in needed.parsed(mapped) for name in needed.bound(one)}
    for name in sorted(own & others):
        raise Refused(
            f"{polling.source.path}: {polling.dag_id} uses the name {name!r}, and so does {main.dag_id} or the DAG "
            f"that it starts. Rename one of them."
        )


def _renamed(changes: Changes, main: Dag, new_id: str) -> str:
    """Give the DAG another id; return the name of its function."""
    if main.id_node is not None:
        changes.replace(main.id_node, f'"{new_id}"')
    if not isinstance(main.node, ast.FunctionDef):
        return ""
    name = re.sub(r"\W", "_", new_id)
    start = main.source.offset(main.node.lineno, main.node.col_offset)
    at = start + re.match(r"def\s+", main.source.text[start:]).end()  # type: ignore[union-attr]
    changes.replace_at(at, at + len(main.node.name), name)
    return name


def _short(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= 40 else f"{line[:37]}..."  # noqa: PLR2004
