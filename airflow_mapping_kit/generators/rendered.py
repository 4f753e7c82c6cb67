"""What a template left, read as the list, the number or the text that a function takes."""

from __future__ import annotations

import ast
import inspect
import re
from typing import TYPE_CHECKING, Any

from airflow_mapping_kit.partitions.sequences import spelled

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

_LISTS = {"Collection", "Iterable", "Sequence", "list", "tuple"}
_DICTS = {"Mapping", "dict"}
# What is annotated as one of these may be meant as text.
_ANYTHING = {"Any", "object"}
_TEXTS = {"str", *_ANYTHING}
_NUMBER = re.compile(r"\s*[+-]?[0-9]+\s*")


def read_rendered(
    function: Callable[..., Any], args: Sequence[Any], kwargs: Mapping[str, Any]
) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """Return the arguments of a function, text read as a list or a whole number where it takes no text.

    Unless a DAG renders native objects, `"{{ params.origins }}"` arrives as the text `"['EWR', 'JFK']"`, and
    `"{{ params.size }}"` as `"50"`. Read is Python's form and JSON, by the annotations of the function; what is
    neither stays as it is, for the function to refuse. Text within a list is never read. A DAG that does render native
    objects makes a number of the year `"2024"`: where a function takes text and no numbers it is text again.
    """
    signature = inspect.signature(function)
    try:
        bound = signature.bind(*args, **kwargs)
    except TypeError:  # the call says what is wrong
        return tuple(args), dict(kwargs)
    for name, value in bound.arguments.items():
        parameter = signature.parameters[name]
        kinds = set(_names(parameter.annotation))
        if parameter.kind is parameter.VAR_KEYWORD:
            bound.arguments[name] = {key: _value(one, kinds) for key, one in value.items()}
        elif parameter.kind is parameter.VAR_POSITIONAL:
            bound.arguments[name] = tuple(_value(one, kinds) for one in value)
        else:
            bound.arguments[name] = _value(value, kinds)
    return bound.args, bound.kwargs


def _names(annotation: Any) -> Iterator[str]:
    """Yield the types that an annotation allows: `int` and `None` of `int | None`, `list` of `list[str]`."""
    if annotation is inspect.Parameter.empty:
        return
    text = annotation if isinstance(annotation, str) else inspect.formatannotation(annotation)
    try:
        todo: list[Any] = [ast.parse(text, mode="eval").body]
    except SyntaxError:
        return
    while todo:
        match todo.pop():
            case ast.BinOp(left=left, right=right):
                todo += [left, right]
            case ast.Subscript(value=ast.Name(id="Optional" | "Union"), slice=slice_):
                todo += slice_.elts if isinstance(slice_, ast.Tuple) else [slice_, ast.Constant(None)]
            case ast.Subscript(value=value):
                todo.append(value)
            case ast.Name(id=name) | ast.Attribute(attr=name):
                yield name
            case ast.Constant(value=value):
                yield str(value)


def _value(value: Any, kinds: set[str]) -> Any:
    if type(value) is int and "str" in kinds and not kinds & {"int", "float", *_ANYTHING}:
        return str(value)
    if not isinstance(value, str) or kinds & _TEXTS:
        return value
    if value == "None" and "None" in kinds:
        return None
    if "int" in kinds and _NUMBER.fullmatch(value):
        return int(value)
    opening = value.lstrip()[:1]
    if (opening in ("[", "(") and kinds & _LISTS) or (opening == "{" and kinds & _DICTS):
        return spelled(value)
    return value
