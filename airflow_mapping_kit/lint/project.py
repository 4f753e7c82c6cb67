"""What is looked at: one file with what is known of it, and all files together."""

from __future__ import annotations

import ast
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING

from airflow_mapping_kit.lint.findings import Edit, Finding, Fix, Place, Related, Severity, place_of
from airflow_mapping_kit.lint.operators import Made, Mapped, all_made, all_mapped
from airflow_mapping_kit.lint.origins import origin
from airflow_mapping_kit.lint.reach import Reach, Reaches

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from airflow_mapping_kit.lint.config import Settings
    from airflow_mapping_kit.lint.source import Source


@dataclass
class File:
    """A file that is looked at, and what rules ask of it: each thing is found out once.

    :param source: the file.
    :param settings: what the project says.
    :param handed: of its functions, by name, where other files of the project have them run.
    :param said: of names in functions, whether what they hold is only logged.
    """

    source: Source
    settings: Settings
    handed: Mapping[str, Reach] = field(default_factory=dict)
    said: dict[tuple[ast.AST, str], bool] = field(default_factory=dict)

    @cached_property
    def reaches(self) -> Reaches:
        """Where its functions run."""
        return Reaches(self.source, self.handed)

    @cached_property
    def made(self) -> list[Made]:
        """The operators that it makes."""
        return list(all_made(self.source))

    @cached_property
    def mapped(self) -> list[Mapped]:
        """The tasks that it maps."""
        return list(all_mapped(self.source, self.reaches))

    @cached_property
    def is_test(self) -> bool:
        """Whether it is a test: that imports what tests import, whatever its name is."""
        modules = {alias.name for one in self.source.all(ast.Import) for alias in one.names}
        modules |= {one.module or "" for one in self.source.all(ast.ImportFrom)}
        return any(module.partition(".")[0] in {"pytest", "unittest"} for module in modules)

    @cached_property
    def defines_dags(self) -> bool:
        """Whether it defines a DAG."""
        for call in self.source.all(ast.Call):
            if (
                origin(self.source, call.func).rpartition(".")[2] == "DAG"
                or getattr(call.func, "attr", "") == "DAG"
            ):
                return True
        functions = [*self.source.all(ast.FunctionDef), *self.source.all(ast.AsyncFunctionDef)]
        return any(self.reaches.kind(function) == "dag" for function in functions)

    def in_a_task(self, node: ast.AST) -> bool:
        """Tell whether code runs in a task, and nowhere else."""
        return self.reaches.of(node) == Reach.TASK

    def place(self, node: ast.AST) -> Place:
        """Return where a node is."""
        return place_of(self.source.path, node, self.source.lines)

    def related(self, node: ast.AST, message: str) -> Related:
        """Return another place of this file that belongs to a finding."""
        return Related(self.place(node), message)

    def finding(
        self,
        rule: str,
        node: ast.AST,
        message: str,
        remedy: str,
        *,
        severity: Severity = "warning",
        related: Iterable[Related] = (),
        fix: Fix | None = None,
    ) -> Finding:
        """Return what a rule found at a node."""
        return Finding(rule, self.place(node), message, remedy, severity, tuple(related), fix)

    def replaced(self, node: ast.AST, text: str) -> Edit:
        """Return the edit that puts text in the place of a node."""
        return Edit(*self.source.span(node), text)
