"""Results and data that get lost: MAP201, MAP203, MAP301."""

from __future__ import annotations

import ast
import re
from typing import TYPE_CHECKING

from airflow_mapping_kit.lint.findings import Finding, Rule
from airflow_mapping_kit.lint.loops import loops_around, reads, variables
from airflow_mapping_kit.lint.operators import constant, keywords
from airflow_mapping_kit.lint.origins import defined, origin, value_of
from airflow_mapping_kit.lint.reach import Reach, task_decorator

if TYPE_CHECKING:
    from collections.abc import Iterator

    from airflow_mapping_kit.lint.operators import Mapped
    from airflow_mapping_kit.lint.project import File

_RUNS_ALL_THE_SAME = frozenset(
    "all_done all_done_min_one_success always one_success one_failed one_done none_failed_or_skipped dummy".split()
)
_CHAIN = frozenset({"override", "partial", "expand"})
_LOGS = frozenset("print debug info warning warn error exception critical log write echo pprint".split())
_BROAD = frozenset({"builtins.Exception", "builtins.BaseException"})
_IO = re.compile(
    r"(get|post|put|patch|delete|head|request|urlopen|send\w*|upload\w*|download\w*|insert\w*|update\w*|write\w*|save\w*|"
    r"load\w*|execute\w*|executemany|run\w*|publish\w*|copy\w*|move\w*|remove\w*|fetch\w*|read\w*|push\w*|store\w*|"
    r"process\w*|ingest\w*|import\w*|export\w*|sync\w*|create\w*|transfer\w*|trigger\w*|call\w*|to_\w+|open|scrape\w*|crawl\w*|extract\w*)"
)
_PURE = frozenset("get update copy split strip format replace lower upper items keys values append".split())
_OF_NETWORK = ("requests.", "httpx.", "urllib.", "boto3.", "smtplib.", "ftplib.", "paramiko.", "psycopg2.", "shutil.", "os.", "subprocess.")


def results_that_move_up(file: File) -> Iterator[Finding]:
    """Yield tasks that run whatever failed, and read what a mapped task returned: what is missing moves the rest up."""
    by_call = {one.call: one for one in file.mapped}
    for call in file.source.all(ast.Call):
        rule = _rule_of(file, call)
        if rule is None:
            continue
        found = _read(file, call, by_call)
        # Batches keep the keys of their items.
        if found is not None and not _is_batched(file, call):
            name = found.name or "a mapped task"
            yield file.finding(
                "MAP201",
                call,
                f"This task runs under {rule!r} on what {name} returned: pieces that failed are missing in it, and all after "
                "them move up, so that results no longer belong to their items",
                f"Put collect({name}) between them, and read report['results']: a row a piece, those that failed too",
                related=[file.related(found.call, f"the mapped task {name}")],
            )


def items_that_get_lost(file: File) -> Iterator[Finding]:
    """Yield loops over items in a task that log what fails and go on: the task is green, items are lost."""
    if file.is_test:
        return
    for attempt in file.source.all(ast.Try):
        if file.reaches.of(attempt) != Reach.TASK:
            continue
        loop = next(iter(loops_around(file.source, attempt)), None)
        if not isinstance(loop, ast.For | ast.AsyncFor) or _tries_alternatives(file, loop, attempt):
            continue
        names = variables(loop)
        handler = next((one for one in attempt.handlers if _is_broad(file, one)), None)
        if handler is None or not _only_logs(file, handler, names) or not _works_on_it(file, attempt, names):
            continue
        if _is_counted(file, loop, handler):
            continue
        yield file.finding(
            "MAP203",
            handler,
            "Whatever goes wrong with an item is logged, and the loop goes on: the task is green, and the item is lost",
            "Make the body a task of one item: @task.batched def work(item): ..., mapped over batches(items, batch_size=50), "
            "and collect(..., tolerated_failure_count=...)",
            related=[file.related(loop, "the loop over the items")],
        )


def delete_by_prefix(file: File) -> Iterator[Finding]:
    """Yield deletes of all that is under a prefix of S3, in a DAG that lists or copies: what came between is lost."""
    if file.is_test:
        return
    others = [
        one
        for one in file.made
        if re.fullmatch(r"S3(List|Copy|FileTransform|ToRedshift|ToGCS|ToSnowflake)\w*Operator|S3To\w+Operator|CopyFromExternalStageToSnowflakeOperator", one.name)
    ]
    others_mapped = [one for one in file.mapped if re.fullmatch(r"S3(List|Copy|FileTransform)\w*Operator|S3To\w+Operator|CopyFromExternalStageToSnowflakeOperator", one.name)]
    lists = any(
        isinstance(call.func, ast.Attribute) and call.func.attr in {"list_keys", "copy_object", "get_file_metadata"}
        for call in file.source.all(ast.Call)
    )
    if not others and not others_mapped and not lists:
        return
    deletes = [(one.call, one.given) for one in file.made if one.name == "S3DeleteObjectsOperator"]
    deletes += [(one.call, {**one.fixed, **one.over}) for one in file.mapped if one.name == "S3DeleteObjectsOperator"]
    for call, given in deletes:
        if "prefix" not in given or "keys" in given:
            continue
        prefix = constant(given["prefix"])
        shown = f"prefix={prefix!r}" if isinstance(prefix, str) else "a prefix"
        yield file.finding(
            "MAP301",
            call,
            f"All that is under {shown} is deleted, also what came since it was listed or copied: that is lost",
            "Delete the keys that were listed: S3DeleteObjectsOperator(keys=...), or move each after a check, "
            "S3MoveKeysOperator.partial(...).expand(keys=s3_keys(bucket, prefix))",
            related=[file.related(one.call, "what is listed or copied") for one in [*others, *others_mapped][:3]],
        )


def _rule_of(file: File, call: ast.Call) -> str | None:
    """Return the trigger rule of the task that a call makes, where it is one that runs whatever failed."""
    given = keywords(call)
    rule = given.get("trigger_rule")
    function = None
    func: ast.AST = call.func
    while isinstance(func, ast.Call) or (isinstance(func, ast.Attribute) and func.attr in _CHAIN):
        if isinstance(func, ast.Call):
            rule = rule or keywords(func).get("trigger_rule")
            func = func.func
        else:
            func = func.value
    function = defined(file.source, func)
    if rule is None and function is not None:
        decorator = task_decorator(file.source, function)
        if decorator is not None and isinstance(decorator[1], ast.Call):
            rule = keywords(decorator[1]).get("trigger_rule")
    return _text_of(file, rule)


def _text_of(file: File, rule: ast.expr | None) -> str | None:
    value = value_of(file.source, rule)
    text = constant(value)
    if isinstance(value, ast.Attribute):  # TriggerRule.ALL_DONE
        text = value.attr.lower()
        if text == "value" and isinstance(value.value, ast.Attribute):
            text = value.value.attr.lower()
    return text if isinstance(text, str) and text in _RUNS_ALL_THE_SAME else None


def _read(file: File, call: ast.Call, by_call: dict[ast.Call, Mapped]) -> Mapped | None:
    """Return the mapped task whose output a task is given or pulls."""
    values: list[ast.AST] = [*call.args]
    for keyword in call.keywords:
        if keyword.arg in {"op_args", "op_kwargs"} and isinstance(keyword.value, ast.List | ast.Tuple | ast.Dict):
            values += keyword.value.elts if not isinstance(keyword.value, ast.Dict) else keyword.value.values
        elif keyword.arg not in {"trigger_rule", "python_callable", "dag", "task_id"}:
            values.append(keyword.value)
    for value in values:
        found = value_of(file.source, value)
        if isinstance(found, ast.Attribute) and found.attr == "output":
            found = value_of(file.source, found.value)
        if isinstance(found, ast.Call) and found in by_call:
            return by_call[found]
    function = defined(file.source, call.func) or defined(file.source, keywords(call).get("python_callable"))
    if function is None:
        return None
    ids = {_task_id(one): one for one in by_call.values()}
    for pull in ast.walk(function):
        if isinstance(pull, ast.Call) and isinstance(pull.func, ast.Attribute) and pull.func.attr == "xcom_pull":
            given = keywords(pull)
            if "map_indexes" in given:
                continue
            task_id = constant(given.get("task_ids") or (pull.args[0] if pull.args else None))
            if isinstance(task_id, str) and task_id in ids:
                return ids[task_id]
    return None


def _is_batched(file: File, call: ast.Call) -> bool:
    func: ast.AST = call.func
    while isinstance(func, ast.Attribute | ast.Call):
        func = func.value if isinstance(func, ast.Attribute) else func.func
    function = defined(file.source, func)
    decorator = None if function is None else task_decorator(file.source, function)
    return decorator is not None and decorator[0].rpartition(".")[2] == "batched"


def _task_id(one: Mapped) -> str:
    text = constant(one.fixed.get("task_id"))
    return text if isinstance(text, str) else one.function.name if one.function is not None else ""


def _is_broad(file: File, handler: ast.ExceptHandler) -> bool:
    if handler.type is None:
        return True
    types = handler.type.elts if isinstance(handler.type, ast.Tuple) else [handler.type]
    return any(origin(file.source, one) in _BROAD for one in types)


def _only_logs(file: File, handler: ast.ExceptHandler, names: set[str]) -> bool:
    """Tell whether a handler does nothing with a failure but say it."""
    for statement in handler.body:
        if isinstance(statement, ast.Pass | ast.Continue):
            continue
        if isinstance(statement, ast.Expr):
            if isinstance(statement.value, ast.Constant):
                continue
            if isinstance(statement.value, ast.Call):
                func = statement.value.func
                name = func.attr if isinstance(func, ast.Attribute) else getattr(func, "id", "")
                if name in _LOGS:
                    continue
        if isinstance(statement, ast.Assign | ast.AnnAssign):
            # Text for the log.
            value = statement.value
            if isinstance(value, ast.JoinedStr | ast.Constant) or (isinstance(value, ast.Call) and origin(file.source, value.func) == "builtins.str"):
                continue
        return False
    return True


def _works_on_it(file: File, attempt: ast.Try, names: set[str]) -> bool:
    """Tell whether what is tried is input or output with the item."""
    for statement in attempt.body:
        for node in ast.walk(statement):
            if not isinstance(node, ast.Call):
                continue
            path = origin(file.source, node.func)
            name = path.rpartition(".")[2] or getattr(node.func, "attr", "")
            given = [*node.args, *(keyword.value for keyword in node.keywords)]
            if isinstance(node.func, ast.Attribute):
                given.append(node.func.value)
            if not any(reads(one, names) for one in given):
                continue
            if path.startswith("builtins.") and name != "open":
                continue
            if path.startswith(_OF_NETWORK) or (_IO.fullmatch(name) and name not in _PURE):
                return True
    return False


def _tries_alternatives(file: File, loop: ast.For | ast.AsyncFor, attempt: ast.Try) -> bool:
    """Tell whether a loop goes on until one of several ways works."""
    after = [*attempt.body, *attempt.orelse]
    inside = [node for statement in after for node in ast.walk(statement)]
    if any(isinstance(node, ast.Break | ast.Return) for node in inside):
        return True
    # The very next statements of the loop's body may leave it.
    at = next((number for number, line in enumerate(loop.body) if line is attempt), None)
    return at is not None and any(isinstance(line, ast.Break | ast.Return) for line in loop.body[at + 1 :])


def _is_counted(file: File, loop: ast.For | ast.AsyncFor, handler: ast.ExceptHandler) -> bool:
    """Tell whether what is worked on is counted against what there was, after the loop, by raising."""
    function = file.source.function_around(loop)
    if function is None or isinstance(function, ast.Lambda):
        return False
    end = loop.end_lineno or loop.lineno
    return any(
        isinstance(node, ast.Raise | ast.Assert) and node.lineno > end
        for node in ast.walk(function)
        if not isinstance(node, ast.Lambda)
    )


RULES = (
    Rule("MAP201", "results-move-up", "A task that runs whatever failed reads what a mapped task returned.", "warning", results_that_move_up),
    Rule("MAP203", "items-get-lost", "A loop over items in a task only logs what fails.", "warning", items_that_get_lost),
    Rule("MAP301", "delete-by-prefix", "All that is under a prefix is deleted after it was listed or copied.", "warning", delete_by_prefix),
)
