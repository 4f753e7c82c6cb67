"""Changing what a task takes: its arguments, its decorator, the first line of its body."""

from __future__ import annotations

import ast
import re
from typing import TYPE_CHECKING

from airflow_mapping_kit.lint.migrate.conf import arguments
from airflow_mapping_kit.lint.operators import constant, keywords

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from airflow_mapping_kit.lint.migrate.changes import Changes
    from airflow_mapping_kit.lint.migrate.conf import Function
    from airflow_mapping_kit.lint.source import Source


def takes(changes: Changes, function: Function, new: Iterable[str], gone: Iterable[str] = ()) -> None:
    """Give a function arguments in front of its own, and take some away.

    :param new: those it gets, as code: `"run: dict"`.
    :param gone: names of those that it loses.
    """
    source, has = changes.source, {one.arg for one in arguments(function)}
    start = source.text.index("(", source.offset(function.lineno, function.col_offset)) + 1
    ends = [source.span(one)[1] for one in ast.walk(function.args) if hasattr(one, "end_lineno")]
    end = max([start, *ends])
    own = [] if end == start else _own(source, function, set(gone))
    text = ", ".join([*(one for one in new if one.partition(":")[0] not in has), *own])
    if "#" in source.text[start:end]:
        changes.replace_at(
            start, start, ", ".join(one for one in new if one.partition(":")[0] not in has) + ", "
        )
        return
    rest = re.match(r"\s*,?\s*(?=\))", source.text[end:])
    changes.replace_at(start, end + (len(rest[0]) if rest else 0), text)


def decorated(changes: Changes, decorator: ast.expr, given: Mapping[str, str]) -> None:
    """Give a decorator arguments that it has not."""
    source = changes.source
    if not isinstance(decorator, ast.Call):
        text = ", ".join(f"{name}={value}" for name, value in given.items())
        changes.replace(decorator, f"{source.code(decorator)}({text})" if text else source.code(decorator))
        return
    has = keywords(decorator)
    added(changes, decorator, {name: value for name, value in given.items() if name not in has})


def added(changes: Changes, call: ast.Call, given: Mapping[str, str]) -> None:
    """Give a call more keyword arguments, behind its own."""
    if not given:
        return
    source, text = changes.source, ", ".join(f"{name}={value}" for name, value in given.items())
    own = [*call.args, *(one.value for one in call.keywords)]
    if own:
        end = max(source.span(one)[1] for one in own)
        # `f(x for x in y)` and `f((yield))`: the last bracket is of the call.
        changes.replace_at(end, end, f", {text}")
    else:
        end = source.span(call)[1] - 1
        changes.replace_at(end, end, text)


def given(changes: Changes, call: ast.Call, new: Mapping[str, str]) -> None:
    """Give the call of a function what the function takes now, in front of its own arguments."""
    if not call.args or not new:
        added(changes, call, new)
        return
    start = changes.source.span(call.args[0])[0]
    changes.replace_at(start, start, "".join(f"{value}, " for value in new.values()))


def begins_with(changes: Changes, function: Function, line: str) -> None:
    """Put a line at the beginning of a function's body, below its docstring."""
    first = function.body[0]
    if isinstance(first, ast.Expr) and isinstance(constant(first.value), str) and len(function.body) > 1:
        first = function.body[1]
    changes.line_before(first, line)


def free(wanted: Iterable[str], taken: Iterable[str]) -> str:
    """Return the first name that is not taken; the last one with `_` behind it where all are."""
    used, name = set(taken), ""
    for name in wanted:
        if name not in used:
            return name
    while name in used:
        name += "_"
    return name


def _own(source: Source, function: Function, gone: set[str]) -> list[str]:
    its = function.args
    plain = [*its.posonlyargs, *its.args]
    defaults: list[ast.expr | None] = [None] * (len(plain) - len(its.defaults))
    found = [
        _argument(source, one, value)
        for one, value in zip(plain, [*defaults, *its.defaults], strict=True)
        if one.arg not in gone
    ]
    if its.posonlyargs:
        found.insert(len([one for one in its.posonlyargs if one.arg not in gone]), "/")
    if its.vararg:
        found.append(f"*{source.code(its.vararg)}")
    elif any(one.arg not in gone for one in its.kwonlyargs):
        found.append("*")
    found += [
        _argument(source, one, value)
        for one, value in zip(its.kwonlyargs, its.kw_defaults, strict=True)
        if one.arg not in gone
    ]
    if its.kwarg:
        found.append(f"**{source.code(its.kwarg)}")
    return found


def _argument(source: Source, one: ast.arg, default: ast.expr | None) -> str:
    text = source.code(one)
    if default is None:
        return text
    return f"{text}{' = ' if one.annotation else '='}{source.code(default)}"
