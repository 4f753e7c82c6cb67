"""A run of another DAG an item: MAP001, MAP002, MAP003."""

from __future__ import annotations

import ast
import re
from typing import TYPE_CHECKING

from airflow_mapping_kit.lint.findings import Finding, Fix, Related, Rule
from airflow_mapping_kit.lint.loops import loops_around, reads, variables
from airflow_mapping_kit.lint.operators import constant, is_true, keywords, made
from airflow_mapping_kit.lint.origins import defined, origin, value_of
from airflow_mapping_kit.lint.reach import Reach

if TYPE_CHECKING:
    from collections.abc import Iterator

    from airflow_mapping_kit.lint.operators import Made, Mapped
    from airflow_mapping_kit.lint.project import File

_TRIGGER = "TriggerDagRunOperator"
_MULTI = re.compile(r"\w*Multi\w*DagRun\w*Operator")
_RUNS_OF_A_DAG = "dagRuns"
_REPLACEMENT = "TriggerDagRunPerItemOperator"
# What any operator takes, and what the one that is mapped says of how it waits.
_KEPT = frozenset("task_id trigger_dag_id retries retry_delay pool priority_weight queue trigger_rule dag doc_md".split())
_GONE = frozenset({"wait_for_completion", "deferrable"})
_ASKS_FOR_RUNS = frozenset({"ExternalTaskSensor", "get_dagrun_state", "get_dag_run_state", "get_dr_count", "get_state"})
# With fewer than Airflow's slots by default it can't lock up.
_FEW = 8
_PER_ITEM = (
    "Map a task over the items in this DAG: `@task.batched` with `collect`; or, where the other DAG has to stay, "
    "TriggerDagRunPerItemOperator"
)


def a_run_an_item(file: File) -> Iterator[Finding]:
    """Yield where a run of another DAG is started for each item."""
    if file.is_test:
        return
    yield from _mapped(file)
    yield from _multi(file)
    yield from _made_in_a_loop(file)
    yield from _started_in_a_task(file)


def executed_in_a_task(file: File) -> Iterator[Finding]:
    """Yield where a trigger is executed by hand within a task."""
    if file.is_test:
        return
    for call, one in executed(file):
        if one.name == _TRIGGER:
            looped = next(iter(loops_around(file.source, call)), None) is not None
            yield file.finding(
                "MAP002",
                call,
                f"TriggerDagRunOperator{_of_dag(one)} is executed within a task: on Airflow 3 execute() ends the task. "
                + ("Of a loop only the first run starts, and the task is green" if looped else "What follows it never runs, and the task is green"),
                "Make it a task of its own; for many runs map it, or TriggerDagRunPerItemOperator(items=...)",
                severity="error",
                related=pollers(file, one.given.get("trigger_dag_id")),
            )


def waits_and_holds_its_slot(file: File) -> Iterator[Finding]:
    """Yield mapped triggers that wait for the runs that they start, each in a slot."""
    for one in file.mapped:
        given = {**one.fixed, **one.over}
        if one.name != _TRIGGER or not is_true(given.get("wait_for_completion")) or is_true(given.get("deferrable")):
            continue
        one_at_a_time = any(
            constant(given.get(name)) == 1 for name in ("max_active_tis_per_dag", "max_active_tis_per_dagrun")
        )
        few = any(
            isinstance(value, ast.List | ast.Tuple) and len(value.elts) <= _FEW for value in one.over.values()
        )
        yield file.finding(
            "MAP003",
            one.call,
            "A mapped TriggerDagRunOperator waits for the run that it started, in a slot (wait_for_completion=True): "
            + ("one at a time, which takes as long as all runs together" if one_at_a_time else "when all slots wait, the runs have none left, and nothing ends"),
            "Say deferrable=True, or use TriggerDagRunPerItemOperator, which waits in one deferred task",
            severity="info" if one_at_a_time or few else "error",
            fix=_as_per_item(file, one),
        )


def executed(file: File) -> Iterator[tuple[ast.Call, Made]]:
    """Yield the calls of `execute` of an operator in a task, and the operator."""
    for call in file.source.all(ast.Call):
        if not (isinstance(call.func, ast.Attribute) and call.func.attr == "execute"):
            continue
        value = value_of(file.source, call.func.value)
        one = made(file.source, value) if isinstance(value, ast.Call) else None
        if one is not None and file.reaches.of(call) == Reach.TASK:
            yield call, one


def pollers(file: File, dag_id: ast.expr | None) -> list[Related]:
    """Return where the file asks for the states of runs of a DAG, other than by starting it."""
    wanted = constant(dag_id)
    found: list[Related] = []
    if not isinstance(wanted, str):
        return found
    for call in file.source.all(ast.Call):
        path = origin(file.source, call.func)
        name = path.rpartition(".")[2] or getattr(call.func, "attr", "")
        if name not in _ASKS_FOR_RUNS and not path.endswith("DagRun.find"):
            continue
        if any(constant(one) == wanted for one in (*call.args, *keywords(call).values())):
            found.append(file.related(call, f"asks for the runs of {wanted!r}"))
    return found[:3]


def _mapped(file: File) -> Iterator[Finding]:
    for one in file.mapped:
        if one.name != _TRIGGER and not _MULTI.fullmatch(one.name):
            continue
        if "trigger_dag_id" in one.over or _routes(file, one):
            continue
        yield file.finding(
            "MAP001",
            one.call,
            f"Each mapped instance starts a run of another DAG{_said(one.fixed.get('trigger_dag_id'))}: a run costs more "
            "than the work of most items, and nobody adds up what became of them",
            _PER_ITEM,
            related=pollers(file, one.fixed.get("trigger_dag_id")),
            fix=_as_per_item(file, one),
        )


def _as_per_item(file: File, one: Mapped) -> Fix | None:
    """Return the fix that makes one task of a mapped trigger, `None` where that can't do the same.

    It is not safe: the task waits for its runs, deferred, and their ids are others.
    """
    partial = one.call.func.value  # type: ignore[attr-defined]
    start, end = file.source.span(one.call)
    if (
        list(one.over) != ["conf"]
        or not isinstance(partial, ast.Call)
        or getattr(partial.func, "attr", "") != "partial"
        or isinstance(partial.func.value, ast.Call)  # type: ignore[attr-defined]
        or any(keyword.arg is None for keyword in (*partial.keywords, *one.call.keywords))
        or not isinstance(constant(one.fixed.get("trigger_dag_id")), str)
        or not one.fixed.keys() <= _KEPT | _GONE | {"poke_interval"}
        or "#" in file.source.text[start:end]
    ):
        return None
    kept = [f"{name}={file.source.code(value)}" for name, value in one.fixed.items() if name in _KEPT]
    kept += [f"items={file.source.code(one.over['conf'])}", "item_key=None"]
    if "poke_interval" in one.fixed:
        kept.append(f"poll_interval={file.source.code(one.fixed['poke_interval'])}")
    text = f"{_REPLACEMENT}({', '.join(kept)})"
    imports = (("airflow_mapping_kit.operators.dagrun", _REPLACEMENT),)
    return Fix((file.replaced(one.call, text),), safe=False, imports=imports)


def _routes(file: File, one: Mapped) -> bool:
    """Tell whether the items say which DAG each is for."""
    if one.sets is None:
        return False
    if "trigger_dag_id" not in one.fixed:
        return True
    return _holds(file, one.sets, "trigger_dag_id")


def _holds(file: File, node: ast.expr, name: str) -> bool:
    """Tell whether a list, or the function that makes it, names a key of its items."""
    value = value_of(file.source, node)
    looked_into: list[ast.AST] = [value] if value is not None else []
    if isinstance(value, ast.Call):
        function = defined(file.source, value.func)
        if function is not None:
            looked_into.append(function)
    return any(
        isinstance(one, ast.Constant) and one.value == name for each in looked_into for one in ast.walk(each)
    )


def _multi(file: File) -> Iterator[Finding]:
    for one in file.made:
        if _MULTI.fullmatch(one.name) and file.reaches.of(one.call) & Reach.PARSING:
            if _yields_pairs(file, one):
                continue
            yield file.finding(
                "MAP001",
                one.call,
                f"{one.name} starts a run of another DAG{_said(one.given.get('trigger_dag_id'))} for each item",
                _PER_ITEM,
            )


def _yields_pairs(file: File, one: Made) -> bool:
    """Tell whether the items say which DAG each is for: nothing to say about that yet."""
    return False


def _made_in_a_loop(file: File) -> Iterator[Finding]:
    for one in file.made:
        if one.name != _TRIGGER or not file.reaches.of(one.call) & Reach.PARSING:
            continue
        for loop in loops_around(file.source, one.call):
            names = variables(loop)
            conf, dag_id = one.given.get("conf"), one.given.get("trigger_dag_id")
            if reads(dag_id, names) or reads(one.given.get("dag"), names) or dag_id is None:
                break
            if reads(conf, names):
                yield file.finding(
                    "MAP001",
                    one.call,
                    f"A loop makes a task an item, each of which starts a run of {_dag(dag_id)}",
                    _PER_ITEM,
                    related=[file.related(loop if not isinstance(loop, ast.comprehension) else loop.target, "the loop")],
                )
                break


def _started_in_a_task(file: File) -> Iterator[Finding]:
    mapped_functions = {one.function for one in file.mapped if one.function is not None}
    for call in file.source.all(ast.Call):
        dag_id = _started(file, call)
        if dag_id is None or file.reaches.of(call) != Reach.TASK:
            continue
        found = _turn(file, call, dag_id)
        if found is not None:
            yield file.finding(
                "MAP001",
                call,
                f"A run of {_dag(dag_id)} is started in each turn of a loop within a task: a retry starts them again, and "
                "nobody adds up what became of them",
                _PER_ITEM,
                related=[file.related(found, "the loop")],
            )
        elif file.source.function_around(call) in mapped_functions and isinstance(dag_id, ast.Constant):
            yield file.finding(
                "MAP001",
                call,
                f"Each mapped instance starts a run of {_dag(dag_id)}: a run costs more than the work of most items, and "
                "nobody adds up what became of them",
                _PER_ITEM,
            )


def _turn(file: File, call: ast.Call, dag_id: ast.expr) -> ast.AST | None:
    """Return the loop in which a call starts a run an item, also where a function is called in it that does."""
    source = file.source
    for loop in loops_around(source, call):
        if isinstance(loop, ast.While):
            continue
        names = variables(loop)
        if reads(dag_id, names):
            return None
        if any(reads(one, names) for one in (*call.args, *(keyword.value for keyword in call.keywords))):
            return loop if not isinstance(loop, ast.comprehension) else loop.target
    function = source.function_around(call)
    if not isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef):
        return None
    arguments = {one.arg for one in [*function.args.posonlyargs, *function.args.args, *function.args.kwonlyargs]}
    if reads(dag_id, arguments):
        return None
    for other in source.all(ast.Call):
        if defined(source, other.func) is function and file.reaches.of(other) == Reach.TASK:
            for loop in loops_around(source, other):
                values = (*other.args, *(keyword.value for keyword in other.keywords))
                if not isinstance(loop, ast.While) and any(reads(one, variables(loop)) for one in values):
                    return loop if not isinstance(loop, ast.comprehension) else loop.target
    return None


def _started(file: File, call: ast.Call) -> ast.expr | None:
    """Return which DAG a call starts a run of, `None` if it starts none."""
    path = origin(file.source, call.func)
    name = path.rpartition(".")[2] or getattr(call.func, "attr", "")
    given = keywords(call)
    if name == "trigger_dag" and not path.startswith("."):
        return given.get("dag_id") or (call.args[0] if call.args else None)
    if name == "post":
        address = given.get("url") or (call.args[0] if call.args else None)
        value = value_of(file.source, address)
        texts = [one.value for one in ast.walk(value) if isinstance(one, ast.Constant)] if value is not None else []
        if any(isinstance(text, str) and _RUNS_OF_A_DAG in text and "/dagRuns/" not in text for text in texts):
            return value  # type: ignore[return-value]
    return None


def _of_dag(one: Made) -> str:
    dag_id = constant(one.given.get("trigger_dag_id"))
    return f" of {dag_id!r}" if isinstance(dag_id, str) else ""


def _said(node: ast.expr | None) -> str:
    value = constant(node)
    return f", {value!r}" if isinstance(value, str) else ""


def _dag(node: ast.expr) -> str:
    value = constant(node)
    return repr(value) if isinstance(value, str) and len(value) <= 80 else "another DAG"  # noqa: PLR2004


RULES = (
    Rule("MAP001", "run-per-item", "A run of another DAG is started for each item.", "warning", a_run_an_item),
    Rule("MAP002", "trigger-executed-in-task", "A TriggerDagRunOperator is executed within a task.", "error", executed_in_a_task),
    Rule("MAP003", "mapped-trigger-waits", "A mapped TriggerDagRunOperator waits in its slot.", "error", waits_and_holds_its_slot),
)
