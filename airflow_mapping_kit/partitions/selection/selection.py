"""What is selected of partitions, and how that is written."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

from airflow_mapping_kit.exceptions import SelectionError
from airflow_mapping_kit.partitions.keys import DEFAULT_PARTITION
from airflow_mapping_kit.partitions.selection.parsing import parsed
from airflow_mapping_kit.partitions.selection.terms import Condition, Either, Term, key_of
from airflow_mapping_kit.partitions.sequences import shown

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

_NAMED = 10


@dataclass(frozen=True)
class Selection:
    """Some of the partitions: those that all its terms are true of; without terms all of them.

    `str(selection)` is its one written form: `Selection.parse(str(selection)) == selection`.

    :param text: as it was written, for errors.
    """

    terms: tuple[Term, ...] = ()
    text: str = field(default="", compare=False, repr=False)

    @classmethod
    def parse(cls, text: str) -> Selection:
        """Return the selection that a text writes.

        `Selection.parse("origin=EWR,JFK date=2013-01..")` selects of two origins all from January 2013 on.

        :raises SelectionError: naming the character where it can't be read, and what to write instead
        """
        if not isinstance(text, str):
            raise SelectionError(f"{shown(text)} is no text: write it as 'origin=EWR,JFK'", "", 0)
        return cls(parsed(text), text)

    def __str__(self) -> str:
        return " ".join(map(str, self.terms))

    def __bool__(self) -> bool:
        return bool(self.terms)

    @cached_property
    def names(self) -> tuple[str, ...]:
        """The dimensions that it is about."""
        return tuple(dict.fromkeys(name for term in self.terms for name in term.names))

    def check(self, names: Iterable[str]) -> None:
        """Check that all dimensions that it is about are there.

        :param names: those of the partitions
        :raises SelectionError: naming those that are
        """
        known = list(names)
        for term in self.terms:
            for name in term.names:
                if name not in known:
                    more = f" and {len(known) - _NAMED} more" if len(known) > _NAMED else ""
                    there = ", ".join(map(str, known[:_NAMED])) + more
                    raise SelectionError(
                        f"there is no dimension {shown(name)} in these partitions: they have "
                        f"{there or 'none'}",
                        self.text,
                        term.at,
                    )

    def of(self, name: str) -> Callable[[Any], bool] | None:
        """Return what a dimension's value has to be, as a function; None where the selection leaves that open.

        A partition is selected if each of its values is, and `apart` is false or true of it.
        """
        conditions = [term for term in self.terms if isinstance(term, Condition) and term.name == name]
        if not conditions:
            return None

        def allowed(value: Any) -> bool:
            text = value_text(value)
            return all(condition.allows(text) for condition in conditions)

        return allowed

    @property
    def apart(self) -> bool:
        """Whether it asks for more than each dimension's values alone: keys, or words."""
        return bool(self._either)

    def matches(self, partition: Mapping[str, Any], label: str | None = None) -> bool:
        """Tell whether a partition is selected.

        `Selection.parse("origin=EWR,JFK").matches({"origin": "EWR", "date": "2013-01-01"})` gives `True`.

        :param partition: its values, text or what plans hold
        :param label: what people see for it, which words are looked for in too
        :raises SelectionError: if it is about a dimension that the partition hasn't
        """
        self.check(partition)
        for condition in self._conditions:
            if not condition.allows(value_text(partition[condition.name])):
                return False
        return not self._either or self._matches(
            {name: value_text(value) for name, value in partition.items()}, label
        )

    def cells(
        self,
        dimensions: Sequence[tuple[str, Sequence[Any]]],
        label: Callable[[int], str | None] | None = None,
    ) -> list[int]:
        """Return which of all combinations of values are selected, by their numbers in row-major order.

        `Selection.parse("b=y").cells([("a", ["1", "2"]), ("b", ["x", "y"])])` gives `[1, 3]`.

        :param dimensions: names and values; the last one changes fastest
        :param label: what people see for a number
        :raises SelectionError: if it is about a dimension that isn't among them
        """
        names = [name for name, _ in dimensions]
        self.check(names)
        found = [0]
        for name, values in dimensions:
            allowed = self.of(name)
            kept = [index for index, value in enumerate(values) if allowed is None or allowed(value)]
            found = [start * len(values) + index for start in found for index in kept]
        if not self._either:
            return found
        return [cell for cell in found if self._matches(_partition(dimensions, cell), label and label(cell))]

    @cached_property
    def _conditions(self) -> list[Condition]:
        return [term for term in self.terms if isinstance(term, Condition)]

    @cached_property
    def _either(self) -> list[Either]:
        return [term for term in self.terms if isinstance(term, Either)]

    def _matches(self, partition: Mapping[str, str | None], label: str | None) -> bool:
        def texts() -> Iterable[str]:
            if label is not None:
                yield label
            yield key_of(partition.items())
            # In a key they may be encoded.
            yield from filter(None, partition.values())

        return all(term.allows(partition, texts) for term in self._either)


def value_text(value: Any) -> str | None:
    """Return a dimension's value as a selection sees it: the text that its key would have, not encoded."""
    if isinstance(value, str):
        return None if value == DEFAULT_PARTITION else str.__str__(value)
    if value is None:
        return None
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return int.__repr__(value)
    return float.__repr__(value) if isinstance(value, float) else str(value)


def _partition(dimensions: Sequence[tuple[str, Sequence[Any]]], cell: int) -> dict[str, str | None]:
    found = {}
    for name, values in reversed(dimensions):
        cell, index = divmod(cell, len(values))
        found[name] = value_text(values[index])
    return found
