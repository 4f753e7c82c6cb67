"""How the reference of the site reads the sources: an extension of griffe, which parses them and imports nothing.

The kit's docstrings are Markdown with Sphinx's fields. Three things of them griffe would show otherwise than they
are meant: a generator is an object that wraps a function, an example may follow the fields, and an overloaded
function has the arguments of its overloads.
"""

from __future__ import annotations

import copy
from typing import Any

import griffe

PACKAGE = "airflow_mapping_kit"


class Reference(griffe.Extension):
    """Show what people call as they call it, and examples before the fields."""

    def on_package_loaded(self, *, pkg: griffe.Module, **_: Any) -> None:
        """Change what was read of the kit; the last moment before names are resolved."""
        if pkg.path != PACKAGE:
            return
        for module in [*pkg["generators"].modules.values(), *pkg["reload"].modules.values()]:
            for name, attribute in list(module.attributes.items()):
                function = _wrapped(pkg, module, attribute)
                if function is not None:
                    module.set_member(name, _as(function, name, module))
        _straighten(pkg)


def _wrapped(
    pkg: griffe.Module, module: griffe.Module, attribute: griffe.Attribute
) -> griffe.Function | None:
    """Return the function of `name = generator(function, ...)`."""
    call = attribute.value
    if not isinstance(call, griffe.ExprCall) or str(call.function) != "generator":
        return None
    name = str(call.arguments[0])
    found = module.members.get(name)
    if found is None:
        # `partitions.date_range`: the pure namesake, which its subpackage imports from a module of its own.
        exported = pkg["partitions"].members[name.rpartition(".")[2]]
        found = pkg[exported.target_path.removeprefix(f"{PACKAGE}.")]
    return found


def _as(function: griffe.Function, name: str, module: griffe.Module) -> griffe.Function:
    renamed = copy.copy(function)
    renamed.name, renamed.parent = name, module
    return renamed


def _straighten(obj: griffe.Object) -> None:
    if obj.docstring is not None:
        obj.docstring.value = _fields_last(obj.docstring.value)
    if obj.is_function and obj.overloads:
        # The docstring is that of the implementation, which takes anything; it describes the last overload.
        last = obj.overloads[-1]
        obj.parameters, obj.returns, obj.overloads = last.parameters, last.returns, None
    for member in obj.members.values():
        if not member.is_alias:
            _straighten(member)


def _fields_last(text: str) -> str:
    """Return a docstring with the paragraphs that follow its fields before them.

    "Do it.", ":param x: what.", "Example: `do(1)`" becomes "Do it.", "Example: `do(1)`", ":param x: what.".
    griffe takes all that follows the last field for a part of it.
    """
    lines = text.splitlines()
    first = next((i for i, line in enumerate(lines) if line.startswith(":")), len(lines))
    after = next((i for i in range(first, len(lines)) if _is_text(lines, i)), len(lines))
    return "\n".join([*lines[:first], *lines[after:], "", *lines[first:after]])


def _is_text(lines: list[str], number: int) -> bool:
    """Tell whether a line begins a paragraph that is no part of a field: those are indented."""
    return not lines[number - 1] and lines[number][:1] not in {"", " ", ":"}
