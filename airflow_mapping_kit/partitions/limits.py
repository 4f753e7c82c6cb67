"""How many pieces a plan may have: they are counted before they are made."""

from __future__ import annotations

from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING

from airflow_mapping_kit.exceptions import PlanError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

# A year mistyped makes tens of millions, which no worker has the memory for.
MOST_PIECES = 1_000_000
TOO_MANY = f"a plan may have at most {MOST_PIECES:,}: check the dates and lists, or make several plans"

_most: ContextVar[tuple[int, Callable[[int], str]]] = ContextVar(
    "most", default=(MOST_PIECES, lambda _: TOO_MANY)
)
_times: ContextVar[int] = ContextVar("times", default=1)


@contextmanager
def at_most(most: int, rule: Callable[[int], str]) -> Iterator[None]:
    """Let no plan that is made within have more pieces than `most`.

    :param rule: what an error says, of the number of pieces, after it has named them
    """
    token = _most.set(
        (min(most, MOST_PIECES), lambda number: TOO_MANY if number > MOST_PIECES else rule(number))
    )
    try:
        yield
    finally:
        _most.reset(token)


@contextmanager
def multiplied(times: int) -> Iterator[None]:
    """Count what is made within so many times: as one dimension of the plan beside others."""
    token = _times.set(max(times, 1))
    try:
        yield
    finally:
        _times.reset(token)


def check_number(number: int, pieces: str, *, spare: int = 0) -> None:
    """Check that a plan may have so many pieces.

    :param pieces: what they are, for the error
    :param spare: by how much the number can be too high, where it was not counted but reckoned
    :raises PlanError: naming the pieces, their number and the limit
    """
    (most, rule), times = _most.get(), _times.get()
    if (number - spare) * times > most:
        each = f", each {times:,} times," if times > 1 else ""
        raise PlanError(f"{pieces}{each} are {number * times:,} pieces, and {rule(number * times)}")
