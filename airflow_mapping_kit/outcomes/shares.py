"""What became of one piece, or of all items of one batch: the share that it has in the rows of a fan-in."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Protocol

from airflow_mapping_kit.outcomes.tally import Tally
from airflow_mapping_kit.results import FAILURES

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from airflow_mapping_kit.results import Result


class Share(Protocol):
    """The rows of one piece, which may be too many to be held."""

    @property
    def tally(self) -> Tally:
        """How many there are of which kind. Nothing is read for it that a summary tells."""

    def rows(self) -> Iterator[Result]:
        """Yield the rows."""

    def failures(self) -> Iterator[Result]:
        """Yield those alone that failed."""


class Held:
    """Rows that are at hand.

    :param results: the rows.
    """

    def __init__(self, results: Sequence[Result]) -> None:
        self.results = results

    @cached_property
    def tally(self) -> Tally:
        """How many there are of which kind."""
        return Tally.of(self.results)

    def rows(self) -> Iterator[Result]:
        """Yield the rows."""
        return iter(self.results)

    def failures(self) -> Iterator[Result]:
        """Yield those alone that failed."""
        return (row for row in self.results if row["state"] in FAILURES)
