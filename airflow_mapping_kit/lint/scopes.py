"""What a name means where it stands: the scopes of a module, and what binds names in each."""

from __future__ import annotations

import ast
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

_FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)
_COMPREHENSIONS = (ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp)
_WITH_A_BODY = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
_SCOPES = (*_FUNCTIONS, *_COMPREHENSIONS, ast.ClassDef)
_BINDS = (
    ast.Name,
    *_WITH_A_BODY,
    ast.alias,
    ast.arg,
    ast.ExceptHandler,
    ast.MatchAs,
    ast.MatchStar,
    ast.MatchMapping,
)


@dataclass(eq=False)
class Scope:
    """A module, class, function or comprehension, and what binds names in it.

    :param node: which it is.
    :param outer: the scope around it.
    :param names: of each name what binds it, in the order of the file: an `ast.alias`, `ast.arg`, `ast.Name`, a
        function, a class, or another node that gives a name a value.
    :param elsewhere: names that are declared `global` or `nonlocal` here.
    """

    node: ast.AST
    outer: Scope | None
    names: dict[str, list[ast.AST]] = field(default_factory=dict)
    elsewhere: dict[str, str] = field(default_factory=dict)

    def lookup(self, name: str) -> tuple[Scope, list[ast.AST]] | None:
        """Return the scope that a name is of when it is read here, and what binds it; `None` of what nothing binds."""
        scope: Scope | None = self
        first = True
        while scope is not None:
            # What is bound in a class is not seen in its methods.
            if (first or not isinstance(scope.node, ast.ClassDef)) and name in scope.names:
                return scope, scope.names[name]
            first = first and isinstance(scope.node, _COMPREHENSIONS)
            scope = scope.outer
        return None

    def bind(self, name: str, node: ast.AST) -> None:
        """Note that a node binds a name here, or where this scope says that the name is of."""
        scope = self
        if name in self.elsewhere:
            while scope.outer is not None and (
                self.elsewhere[name] == "global" or not isinstance(scope.outer.node, _FUNCTIONS)
            ):
                scope = scope.outer
            if self.elsewhere[name] == "nonlocal" and scope.outer is not None:
                scope = scope.outer
        scope.names.setdefault(name, []).append(node)


def scopes_of(
    tree: ast.Module, parents: Mapping[ast.AST, ast.AST], children: Mapping[ast.AST, list[ast.AST]]
) -> tuple[dict[ast.AST, Scope], dict[ast.Name, Scope]]:
    """Return the scope of each node that is one, and the scope in which each name is looked up.

    :param parents: what each node is in.
    :param children: what is in each.
    """
    scopes: dict[ast.AST, Scope] = {}
    of_names: dict[ast.Name, Scope] = {}
    scopes[tree] = Scope(tree, None)
    waiting: list[tuple[ast.AST, Scope]] = [(child, scopes[tree]) for child in reversed(tree.body)]
    while waiting:
        node, scope = waiting.pop()
        if isinstance(node, ast.Name):
            of_names[node] = scope
        if isinstance(node, _BINDS):
            _bind(node, scope, parents)
        if not isinstance(node, _SCOPES):
            waiting += [(child, scope) for child in reversed(children[node])]
            continue
        inner = scopes[node] = Scope(node, scope)
        # Decorators, defaults and bases are looked up outside.
        body = {id(one) for one in node.body} if isinstance(node, _WITH_A_BODY) else None
        for child in reversed(children[node]):
            outside = body is not None and id(child) not in body and not isinstance(child, ast.arguments)
            waiting.append((child, scope if outside else inner))
        for one in children[node] if body is not None else ():
            if isinstance(one, ast.Global | ast.Nonlocal):
                kind = "global" if isinstance(one, ast.Global) else "nonlocal"
                inner.elsewhere.update(dict.fromkeys(one.names, kind))
    return scopes, of_names


def _bind(node: ast.AST, scope: Scope, parents: Mapping[ast.AST, ast.AST]) -> None:
    if isinstance(node, ast.Name):
        if not isinstance(node.ctx, ast.Load):
            # The target of `:=` is of the scope around a comprehension.
            while isinstance(scope.node, _COMPREHENSIONS) and isinstance(parents.get(node), ast.NamedExpr):
                scope = scope.outer or scope
            scope.bind(node.id, node)
    elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
        scope.bind(node.name, node)
    elif isinstance(node, ast.alias):
        scope.bind(node.asname or node.name.partition(".")[0], node)
    elif isinstance(node, ast.arg):
        scope.bind(node.arg, node)
    elif isinstance(node, ast.ExceptHandler | ast.MatchAs | ast.MatchStar):
        if node.name:
            scope.bind(node.name, node)
    elif isinstance(node, ast.MatchMapping) and node.rest:
        scope.bind(node.rest, node)
