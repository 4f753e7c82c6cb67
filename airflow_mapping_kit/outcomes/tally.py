"""How many pieces ended how: their states, the commonest errors, and the first that failed."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from airflow_mapping_kit.failures import MAX_KEYS, reason
from airflow_mapping_kit.results import FAILURES, counts_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from airflow_mapping_kit.results import Counts

# So many errors are told apart; what else there is counts as one more.
_MAX_ERRORS = 1000
OTHERS = "other errors"


@dataclass
class Tally:
    """What is known of many pieces without their rows. It stays small, however many they are.

    :param states: how many are in which state.
    :param errors: how many each error stopped, as text; of what nobody told apart, as `other errors`.
    :param keys: the first of those that failed.
    """

    states: Counter[str] = field(default_factory=Counter)
    errors: Counter[str] = field(default_factory=Counter)
    keys: list[str] = field(default_factory=list)

    @classmethod
    def of(cls, rows: Iterable[Mapping[str, Any]]) -> Tally:
        """Return that of some rows."""
        made = cls()
        for row in rows:
            made.states[row["state"]] += 1
            if row["state"] in FAILURES:
                made.add_errors({reason(row): 1}, [row["key"]])
        return made

    @property
    def counts(self) -> Counts:
        """The counts of a fan-in."""
        return counts_of(self.states)

    @property
    def failed(self) -> int:
        """How many failed, were not begun, or not because of what was before them."""
        return sum(self.states[state] for state in FAILURES)

    def add(self, other: Tally) -> None:
        """Count in what another has counted."""
        self.states.update(other.states)
        self.add_errors(other.errors, other.keys)

    def add_errors(self, errors: Mapping[str, int], keys: Iterable[str]) -> None:
        """Count in some errors, and name some of the pieces that have them."""
        for error, number in errors.items():
            known = error in self.errors or len(self.errors) < _MAX_ERRORS
            self.errors[error if known else OTHERS] += number
        if len(self.keys) < MAX_KEYS:
            self.keys += list(keys)[: MAX_KEYS - len(self.keys)]
