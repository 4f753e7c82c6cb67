"""One DAG from files that are copies of one another, mapped over a table of their differences."""

from __future__ import annotations

import ast
import os
import re
import textwrap
from typing import TYPE_CHECKING

from airflow_mapping_kit.lint.migrate import functions, needed, templated
from airflow_mapping_kit.lint.migrate.changes import Changes, extent, first_line
from airflow_mapping_kit.lint.migrate.differences import Difference, differences, named
from airflow_mapping_kit.lint.migrate.module import checked, of_airflow
from airflow_mapping_kit.lint.migrate.refused import Refused
from airflow_mapping_kit.lint.operators import made
from airflow_mapping_kit.lint.origins import defined

if TYPE_CHECKING:
    from collections.abc import Sequence

    from airflow_mapping_kit.lint.migrate.dags import Dag

_GROUP = "each"
_WIDTH = 100
# Of a DAG's own arguments those that may say what they like.
_WORDS = frozenset({"description", "doc_md", "tags", "dag_display_name", "dag_id"})
# Arguments of operators that Airflow renders, as an item of a mapped group has to be.
_RENDERED = frozenset(
    "bash_command sql env op_args op_kwargs parameters conf key bucket_key bucket_name prefix endpoint data arguments "
    "cmds commands body query source_objects destination_object object_name table".split()
)


def as_one(dags: Sequence[Dag]) -> tuple[str, str]:
    """Return the id of a DAG that does what copies did, and its file.

    :raises Refused: if the files don't do the same, or differ in what can't be mapped.
    """
    first = dags[0]
    if len({one.source.path for one in dags}) < max(len(dags), 2):
        raise Refused(
            "Name at least two files, each of them once. DAGs in the same file can't be told apart."
        )
    ids = [one.dag_id for one in dags]
    new_id = f"{os.path.commonprefix(ids).rstrip('_-. ') or first.dag_id}_mapped"
    found = differences(dags)
    merged = _Merged(first, dags, new_id)
    own = [one for one in found if not merged.is_of_the_dag(one)]
    if not own:
        names = ", ".join(one.name for one in found) or "nothing"
        raise Refused(
            f"{first.source.path} and its copies differ only in {names}: there is nothing to map over."
        )
    named(own, first.source)
    for one in own:
        merged.put(one)
    if first.mapped_line():
        raise Refused(
            f"{first.source.path}:{first.mapped_line()}: this task is mapped already, and a mapped group can't contain "
            f"mapped tasks. Map it over the differences of the copies, too."
        )
    return new_id, merged.text(own)


class _Merged:
    """The first file, as it becomes the file of all."""

    def __init__(self, dag: Dag, dags: Sequence[Dag], new_id: str) -> None:
        self._dag = dag
        self._dags = dags
        self._new_id = new_id
        self._changes = Changes(dag.source)
        self._takes: dict[ast.FunctionDef | ast.AsyncFunctionDef, list[str]] = {}
        # Each BashOperator whose command is of the item, and what that is called.
        self._commands: dict[ast.Call, Difference] = {}
        self._heads = {
            id(node)
            for value in (
                [dag.node.items[0].context_expr]
                if isinstance(dag.node, ast.With)
                else dag.node.decorator_list
            )
            for node in ast.walk(value)
        }

    def is_of_the_dag(self, one: Difference) -> bool:
        """Tell whether the DAG's own arguments alone differ; mark what can't be all of it."""
        nodes = [node for node in one.nodes if id(node) in self._heads]
        if not nodes:
            return False
        if one.name not in _WORDS and nodes[0] is not self._dag.id_node:
            said = ", ".join(
                f"{text} in {dag.path.name}" for text, dag in zip(one.texts, self._dags, strict=True)
            )
            name = one.name or f"a value in line {nodes[0].lineno}"
            self._changes.todo(self._dag.node, f"{name} is {said}. One DAG can have only one: choose it.")
        one.nodes = [node for node in one.nodes if id(node) not in self._heads]
        return not one.nodes

    def put(self, one: Difference) -> None:
        """Let the code read an item where it has what the files differ in."""
        if not one.is_literal:
            raise self._refused(one, one.nodes[0], "this value is not a literal, so the table can't hold it")
        for node in one.nodes:
            self._put(one, node)

    def _put(self, one: Difference, node: ast.expr) -> None:
        source, parent = self._dag.source, self._dag.source.parents[node]
        if isinstance(parent, ast.Assign | ast.AnnAssign) and parent.value is node:
            target = parent.targets[0] if isinstance(parent, ast.Assign) else parent.target
            around = source.function_around(node)
            if isinstance(target, ast.Name) and around in {None, self._dag.node}:
                self._put_variable(one, parent, target)
                return
        if isinstance(parent, ast.keyword) and parent.arg in {"task_id", "group_id"}:
            self._changes.todo(
                node, f"{parent.arg} was {', '.join(one.texts)}: choose one name for all of them."
            )
            return
        self._replace(one, node)

    def _put_variable(self, one: Difference, statement: ast.Assign | ast.AnnAssign, target: ast.Name) -> None:
        source, stays = self._dag.source, False
        found = source.lookup(target)
        if found is None or len(found[1]) > 1:
            raise self._refused(one, target, f"`{target.id}` is set more than once")
        for name in source.all(ast.Name):
            if name is target or not isinstance(name.ctx, ast.Load) or source.lookup(name) != found:
                continue
            if id(name) in self._heads:
                stays = True
                within_id = self._dag.id_node is not None and name in set(ast.walk(self._dag.id_node))
                if not within_id:
                    self._changes.todo(
                        self._dag.node,
                        f"`{target.id}` is {', '.join(one.texts)}. One DAG can have only one: choose it.",
                    )
            else:
                self._replace(one, name)
        if not stays:
            self._changes.leave_out(statement)

    def _replace(self, one: Difference, node: ast.expr) -> None:
        source = self._dag.source
        around = source.function_around(node)
        if around is None or around is self._dag.node:
            self._check_at_parsing(one, node)
        elif isinstance(around, ast.Lambda) or self._dag.reaches.kind(around) != "task":
            name = getattr(around, "name", "a lambda")
            raise self._refused(
                one, node, f"{name} doesn't get the item: pass the value to it as an argument first"
            )
        else:
            names = self._takes.setdefault(around, [])
            if one.name not in names:
                names.append(one.name)
        self._changes.replace(node, one.name)

    def _check_at_parsing(self, one: Difference, node: ast.expr) -> None:
        """Refuse what decides something while the file is parsed, when there is no item yet."""
        source, argument = self._dag.source, ""
        for above in source.above(node):
            if isinstance(above, ast.keyword):
                argument = above.arg or ""
            elif isinstance(above, ast.Call):
                operator = made(source, above)
                if operator is not None:
                    is_value = operator.given.get(argument) is node and not above.args
                    if operator.name == "BashOperator" and argument == templated.BASH_COMMAND and is_value:
                        self._commands[above] = one
                    elif argument in _RENDERED:
                        templated.todo(self._changes, node, one, argument)
                    else:
                        self._changes.todo(
                            node,
                            f"{argument or 'this'} can come from the item only if Airflow renders it as a template: "
                            "check this.",
                        )
                    return
                function = defined(source, above.func)
                if function is not None and self._dag.reaches.kind(function) == "task":
                    templated.todo(self._changes, node, one, "")
                    return
                break
            elif not isinstance(above, ast.List | ast.Tuple | ast.Dict):
                break
        raise self._refused(
            one, node, "it is read when Airflow parses the file, and then there is no item yet"
        )

    def _refused(self, one: Difference, node: ast.AST, why: str) -> Refused:
        line = getattr(node, "lineno", 0)
        return Refused(f"{self._dag.source.path}:{line}: the files differ in {one.name}, but {why}.")

    def _pulls(self) -> None:
        """Mark each `xcom_pull`, also in a template: the tasks have other ids in the group, and it would get None."""
        for node in self._dag.source.all(ast.Attribute, ast.Constant):
            said = node.attr if isinstance(node, ast.Attribute) else getattr(node, "value", None)
            if "xcom_pull" in str(said):
                self._changes.todo(
                    node,
                    "the ids of the tasks begin with the id of their group now: correct those that xcom_pull names, "
                    "or it returns None.",
                )

    def text(self, columns: Sequence[Difference]) -> str:
        """Return the file."""
        source, changes, dag = self._dag.source, self._changes, self._dag
        self._imports()
        self._pulls()
        taken = needed.names_of(source.tree) | {one.name for one in columns}
        command = functions.free(["command", "bash", "command_of_item"], taken)
        for call, one in self._commands.items():
            templated.run_by(changes, call, command, one.name)
        for function, names in self._takes.items():
            functions.takes(changes, function, names)
            for call in source.all(ast.Call):
                if defined(source, call.func) is function:
                    functions.given(changes, call, {name: name for name in names})
        if dag.id_node is not None:
            changes.replace(dag.id_node, f'"{self._new_id}"')
        elif isinstance(dag.node, ast.FunctionDef):
            decorator = next(
                one for one in dag.node.decorator_list if "dag" in source.code(one).partition("(")[0]
            )
            functions.decorated(changes, decorator, {"dag_id": f'"{self._new_id}"'})
        start, end = extent(source, dag.body[0])[0], extent(source, dag.body[-1])[1]
        top = source.offset(first_line(dag.node), 0)
        table = functions.free(["COPIES", "COPIED"], needed.names_of(source.tree))
        before, after = changes.text(0, top), changes.text(end, len(source.text))
        head = changes.text(top, start)
        changes.shift = 4
        indentation = " " * dag.indentation
        group = functions.free([_GROUP, "each_copy"], needed.names_of(source.tree))
        body = changes.text(start, end).lstrip("\n")
        if self._commands:
            within = " " * (dag.indentation + 4)
            body = f"{textwrap.indent(templated.command(command), within)}\n{body}"
        given = ", ".join(one.name for one in columns)
        code = (
            f"{before}{self._table(columns, table)}\n\n{head}"
            f'{indentation}@task_group(group_id="{group}")\n{indentation}def {group}({given}):\n{body}\n'
            f"{indentation}{group}.expand_kwargs({table})\n{after}"
        )
        return checked(
            source.path,
            re.sub(
                r"(decorators import (?:task|task_group|task, task_group)\n)(?=\S)", r"\1\n", code, count=1
            ),
        )

    def _table(self, columns: Sequence[Difference], table: str) -> str:
        rows = []
        for number, dag in enumerate(self._dags):
            fields = [f'"{one.name}": {one.texts[number]}' for one in columns]
            line = f"    {{{', '.join(fields)}}},\n"
            if len(line) > _WIDTH:
                line = "    {\n" + "".join(f"        {one},\n" for one in fields) + "    },\n"
            rows.append(f"    # {dag.path.name}\n{line}")
        return f"{table} = [\n{''.join(rows)}]\n"

    def _imports(self) -> None:
        wanted = ["task", "task_group"] if self._commands else ["task_group"]
        names = [name for name in wanted if name not in self._dag.source.scopes[self._dag.source.tree].names]
        if names:
            last = [one for one in self._dag.source.tree.body if needed.is_import(one)][-1]
            at = extent(self._dag.source, last)[1]
            self._changes.replace_at(at, at, of_airflow(names))
