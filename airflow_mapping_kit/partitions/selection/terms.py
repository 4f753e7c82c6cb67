"""The terms of a selection: what each asks of a partition, and how it is written."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from typing import TYPE_CHECKING

from airflow_mapping_kit.partitions.keys import DEFAULT_PARTITION, escape
from airflow_mapping_kit.partitions.selection.patterns import Pattern, fits, within
from airflow_mapping_kit.partitions.selection.spans import Bound, around, between, is_period, like_a_date

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

NULL = "NULL"
_SPECIAL = frozenset(' \t\r\n",%=!?*')


def quoted(text: str, *, always: bool = False) -> str:
    """Return a text as it stands in a selection: in quotes, if it would mean something without."""
    plain = not (
        always
        or not text
        or _SPECIAL.intersection(text)
        or ".." in text
        or text.startswith(".")
        or text.endswith(".")
        or text.upper() == NULL
        or text == DEFAULT_PARTITION
    )
    return text if plain else '"' + text.replace('"', '""') + '"'


@dataclass(frozen=True)
class Exactly:
    """One value and no other; `None` is no value."""

    text: str | None

    def matches(self, value: str | None) -> bool:
        """Tell whether a value is this one."""
        return value == self.text

    def __str__(self) -> str:
        return NULL if self.text is None else _exactly(self.text)


@dataclass(frozen=True)
class Around:
    """A period, and all that touch it."""

    period: str

    def matches(self, value: str | None) -> bool:
        """Tell whether a value is the period, or touches it."""
        return value is not None and around(value, self.period)

    def __str__(self) -> str:
        return self.period


@dataclass(frozen=True)
class Like:
    """What is as a pattern with wildcards says."""

    pattern: Pattern

    def matches(self, value: str | None) -> bool:
        """Tell whether a value is as the pattern says."""
        return value is not None and fits(self.pattern, value)

    def __str__(self) -> str:
        return _written(self.pattern)


@dataclass(frozen=True)
class Range:
    """What lies between two bounds, one of which may be missing."""

    low: Bound | None
    high: Bound | None

    def matches(self, value: str | None) -> bool:
        """Tell whether a value lies between the bounds, or is one of them."""
        return value is not None and between(value, self.low, self.high)

    def __str__(self) -> str:
        return f"{_bound(self.low)}..{_bound(self.high)}"


Item = Exactly | Around | Like | Range


@dataclass(frozen=True)
class Condition:
    """What a dimension's value has to be, or must not be: one of some items."""

    name: str
    items: tuple[Item, ...]
    negated: bool = False
    at: int = field(default=0, compare=False)

    @property
    def names(self) -> tuple[str, ...]:
        """The dimensions that it is about."""
        return (self.name,)

    def allows(self, value: str | None) -> bool:
        """Tell whether a value of the dimension is selected."""
        if value is not None and value in self._exact:
            return not self.negated
        return any(item.matches(value) for item in self._others) != self.negated

    def __str__(self) -> str:
        name = quoted(self.name, always=self.name.endswith(("<", ">")))
        return f"{name}{'!' if self.negated else ''}={','.join(map(str, self.items))}"

    @cached_property
    def _exact(self) -> frozenset[str]:
        return frozenset(
            item.text for item in self.items if isinstance(item, Exactly) and item.text is not None
        )

    @cached_property
    def _others(self) -> tuple[Item, ...]:
        return tuple(item for item in self.items if not (isinstance(item, Exactly) and item.text is not None))


@dataclass(frozen=True)
class Key:
    """One value of each of some dimensions, as in a partition key."""

    values: tuple[tuple[str, str | None], ...]

    @property
    def text(self) -> str:
        """The partition key."""
        return key_of(self.values)


@dataclass(frozen=True)
class Word:
    """A part of the label, of the key or of a value, in any case of letters."""

    pattern: Pattern


@dataclass(frozen=True)
class Either:
    """Partitions that have one of some keys, or one of some words in them; or all others."""

    alternatives: tuple[Key | Word, ...]
    negated: bool = False
    at: int = field(default=0, compare=False)

    @property
    def names(self) -> tuple[str, ...]:
        """The dimensions that its keys are about."""
        keys = (one for one in self.alternatives if isinstance(one, Key))
        return tuple(dict.fromkeys(name for key in keys for name, _ in key.values))

    def allows(self, partition: Mapping[str, str | None], texts: Callable[[], Iterable[str]]) -> bool:
        """Tell whether a partition is selected.

        :param texts: what words are looked for in: asked for only where there are any.
        """
        found = any(
            tuple(map(partition.__getitem__, names)) in values for names, values in self._keys.items()
        )
        if not found and self._words:
            found = any(within(word, text) for text in texts() for word in self._words)
        return found != self.negated

    def __str__(self) -> str:
        keys = [one.text for one in self.alternatives if isinstance(one, Key)]
        # A comma within a key is a part of it, unless another key follows.
        bare = len(keys) == len(self.alternatives) and all(map(_is_plain, keys))
        written = (
            _written(one.pattern)
            if isinstance(one, Word)
            else one.text
            if bare
            else quoted(one.text, always=True)
            for one in self.alternatives
        )
        return f"{'!' if self.negated else ''}{','.join(written)}"

    @cached_property
    def _keys(self) -> dict[tuple[str, ...], set[tuple[str | None, ...]]]:
        grouped: dict[tuple[str, ...], set[tuple[str | None, ...]]] = {}
        for one in self.alternatives:
            if isinstance(one, Key):
                names, values = zip(*one.values, strict=True)
                grouped.setdefault(names, set()).add(values)
        return grouped

    @cached_property
    def _words(self) -> tuple[Pattern, ...]:
        return tuple(one.pattern for one in self.alternatives if isinstance(one, Word))


Term = Condition | Either


def key_of(values: Iterable[tuple[str, str | None]]) -> str:
    """Return the partition key of some dimensions and their values, which are text already."""
    return "/".join(_component(name, value) for name, value in sorted(values))


# A hundred thousand partitions have some hundreds of values.
@lru_cache(maxsize=4096)
def _component(name: str, value: str | None) -> str:
    if value is None:
        return f"{escape(name)}={DEFAULT_PARTITION}"
    text = escape(value)
    return f"{escape(name)}=" + (f"%{ord(text[0]):02X}{text[1:]}" if text.upper() == NULL else text)


def _is_plain(key: str) -> bool:
    return "/" in key and ".." not in key and not set(' \t\r\n",!').intersection(key)


def _written(wanted: Pattern) -> str:
    return "".join(chunk.text if chunk.wild else quoted(chunk.text) for chunk in wanted)


def _bound(one: Bound | None) -> str:
    if one is None:
        return ""
    return quoted(one.text, always=one.literal and (_has_size(one.text) or like_a_date(one.text)))


def _exactly(text: str) -> str:
    return quoted(text, always=is_period(text) or like_a_date(text))


def _has_size(text: str) -> bool:
    other = Bound(text, literal=False)
    return other.period is not None or other.number is not None
