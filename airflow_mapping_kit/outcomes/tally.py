"""How many pieces ended how: their states, the commonest errors, and the first that failed."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from airflow_mapping_kit.failures import MAX_KEYS, OTHERS, reason
from airflow_mapping_kit.results import FAILURES, counts_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from airflow_mapping_kit.results import Counts

# So many errors are told apart; what else there is counts as one more.
_MAX_ERRORS = 1000


@dataclass
class Tally:
    """What is known of many pieces without their rows. It stays small, however many they are.

    :param states: how many are in which state.
    :param errors: how many each error stopped, as text; of what nobody told apart, as `other errors`.
    :param keys: the first of those that failed, or what stands for all of a batch.
    :param named: how many those are.
    """

    states: Counter[str] = field(default_factory=Counter)
    errors: Counter[str] = field(default_factory=Counter)
    keys: list[str] = field(default_factory=list)
    named: int = 0

    @classmethod
    def of(cls, rows: Iterable[Mapping[str, Any]]) -> Tally:
        """Return that of some rows."""
        made = cls()
        for row in rows:
            made.states[row["state"]] += 1
            if row["state"] in FAILURES:
                made.add_errors({reason(row): 1}, [row["key"]], 1)
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
        self.add_errors(other.errors, other.keys, other.named)

    def add_errors(self, errors: Mapping[str, int], keys: Sequence[str], named: int) -> None:
        """Count in some errors, and name pieces that have them as long as few are named.

        :param named: for how many the keys stand.
        """
        for error, number in errors.items():
            known = error in self.errors or len(self.errors) < _MAX_ERRORS
            self.errors[error if known else OTHERS] += number
        room = MAX_KEYS - len(self.keys)
        if room >= len(keys):
            self.keys += keys
            self.named += named
        elif room > 0:
            self.keys += keys[:room]
            # What stands for more than itself stands alone.
            self.named += room
