"""What an experiment has shown of one kind of work, and the verdict on it in words."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence

NAMED = 5


@dataclass
class Seen:
    """What was seen of one kind of work in one run of an experiment.

    :param work: which work, as the table calls it.
    :param pieces: how many pieces or items there were to do.
    :param state: how the run ended, `None` if it did not in time.
    :param hit: how many instances lost a try by the faults.
    :param lost: what was not done, or is not there.
    :param doubled: what was done or is there more than once, beyond what the docs state.
    :param repeated: how much was done once more within what the docs state.
    :param wrong: whatever else is not as it should be: labels, values, counts, remains.
    :param seconds: from the last fault to the end of the run.
    :param expected: how the run is to end.
    :param told: more figures.
    """

    work: str
    pieces: int
    state: str | None
    hit: int = 0
    lost: Sequence[str] = ()
    doubled: Sequence[str] = ()
    repeated: int = 0
    wrong: Sequence[str] = ()
    seconds: float = 0.0
    expected: str = "success"
    told: dict[str, Any] = field(default_factory=dict)

    @property
    def right(self) -> bool:
        """Whether all is as the docs promise."""
        return not (self.lost or self.doubled or self.wrong) and self.state == self.expected

    @property
    def verdict(self) -> str:
        """The verdict in words."""
        ended = f"ended {self.state}" if self.state else "did not end in time"
        if self.state != self.expected:
            ended += f", not {self.expected}"
        parts = [
            f"{len(self.lost)} lost{_named(self.lost)}",
            f"{len(self.doubled)} doubled{_named(self.doubled)}",
            f"{self.repeated} done again as documented",
            f"the run {ended} {self.seconds:.0f} s after the last fault",
            *self.wrong,
        ]
        return f"{'Right' if self.right else 'WRONG'}: of {self.pieces:,} {', '.join(parts)}."

    def as_row(self) -> dict[str, Any]:
        """Return it as JSON takes it."""
        return {**asdict(self), "right": self.right, "verdict": self.verdict}


def _named(what: Sequence[str]) -> str:
    return f" ({', '.join(what[:NAMED])}{', …' if len(what) > NAMED else ''})" if what else ""
