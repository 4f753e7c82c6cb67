"""The pieces of a plan in little room: which values its dimensions have, and which of them each piece has."""

from __future__ import annotations

import hashlib
import json
from array import array
from bisect import bisect_right
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from airflow_mapping_kit.partitions import piece_key
from airflow_mapping_kit.partitions.keys import DEFAULT_PARTITION
from airflow_mapping_kit.partitions.pieces import distinct

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

# What the only dimension is called of pieces that are known by their keys alone; of batches in place of their items.
BY_KEY, BY_BATCH = "piece", "batch"


@dataclass(frozen=True, eq=False)
class Pieces:
    """The pieces of a plan in the order of their map indexes, the items of batches one by one.

    :param names: the dimensions, sorted; of pieces that have no dimensions in common `("piece",)` alone.
    :param values: the values of each, as text.
    :param codes: which of the values each piece has, of each dimension.
    :param ends: the number of items in all batches up to each, `None` where pieces are no batches.
    :param by_key: whether pieces are known by their keys alone.
    :param unread: of batches that stand for their items how many items those are.
    """

    names: tuple[str, ...]
    values: tuple[tuple[str, ...], ...]
    codes: tuple[array[int], ...]
    ends: array[int] | None = None
    by_key: bool = False
    unread: int = 0

    def __len__(self) -> int:
        """Return how many pieces there are."""
        return len(self.codes[0]) if self.codes else 0

    @property
    def instances(self) -> int:
        """How many instances work on them."""
        return len(self) if self.ends is None else len(self.ends)

    @property
    def of_batches(self) -> bool:
        """Whether instances work on batches: on their pieces, or pieces stand for batches."""
        return self.ends is not None or bool(self.unread)

    @property
    def size(self) -> int:
        """About how many bytes they take."""
        text = sum(60 + len(value) for values in self.values for value in values)
        arrays = [*self.codes, *([] if self.ends is None else [self.ends])]
        return 64 + text + sum(64 + len(codes) * codes.itemsize for codes in arrays)

    @cached_property
    def digest(self) -> str:
        """Text that equal plans have in common."""
        said = json.dumps([self.names, self.values, self.by_key, self.unread])
        made = hashlib.sha256(said.encode("utf-8", "replace"))
        for codes in (*self.codes, *(() if self.ends is None else (self.ends,))):
            made.update(b"|")
            made.update(codes.tobytes())
        return made.hexdigest()

    @property
    def is_product(self) -> bool:
        """Whether every combination of its values is there."""
        number = 1
        for values in self.values:
            number *= len(values)
        return number == len(self)

    def may_share(self, other: Pieces) -> bool:
        """Tell whether two plans may have a piece in common; surely not where they have no value of a dimension."""
        if self is other:
            return True
        return self.names == other.names and not any(
            set(mine).isdisjoint(its) for mine, its in zip(self.values, other.values, strict=True)
        )

    def held_by(self, map_index: int) -> range:
        """Return the numbers of the pieces that an instance works on."""
        if self.ends is None:
            return range(map_index, map_index + 1)
        return range(self.ends[map_index - 1] if map_index else 0, self.ends[map_index])

    def holder(self, piece: int) -> int:
        """Return the map index of the instance that works on a piece."""
        return piece if self.ends is None else bisect_right(self.ends, piece)

    def of(self, piece: int) -> tuple[str, ...]:
        """Return the values of a piece."""
        return tuple(values[codes[piece]] for values, codes in zip(self.values, self.codes, strict=True))

    def known_by_key(self) -> Pieces:
        """Return the same pieces, each with its key in place of its dimensions; equal keys get `#2`, `#3`."""
        if self.by_key:
            return self
        keys = distinct(key_of(self.names, self.of(piece)) for piece in range(len(self)))
        return Pieces((BY_KEY,), *coded([keys]), self.ends, by_key=True)


NOTHING = Pieces((), (), ())


def coded(columns: Iterable[Sequence[str]]) -> tuple[tuple[tuple[str, ...], ...], tuple[array[int], ...]]:
    """Return the different values of each dimension, and which of them each piece has.

    `coded([["a", "b", "a"]])` gives `((("a", "b"),), (array("I", [0, 1, 0]),))`.
    """
    values, codes = [], []
    for column in columns:
        places: dict[str, int] = {}
        codes.append(array("I", [places.setdefault(value, len(places)) for value in column]))
        values.append(tuple(places))
    return tuple(values), tuple(codes)


def key_of(names: Sequence[str], values: Sequence[str]) -> str:
    """Return the key of a piece from what its dimensions are as text, which `key_of` of plans gives of the piece."""
    named = {
        name: None if value == DEFAULT_PARTITION else value for name, value in zip(names, values, strict=True)
    }
    # What is hidden is a digest already.
    return piece_key(named, hidden=frozenset())
