"""The periods that a run is about: its own, and those before them that it looks back on."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airflow_mapping_kit import partitions
from airflow_mapping_kit.compat import first_begin, run_date, run_interval
from airflow_mapping_kit.partitions.ended import earlier_periods, ended_periods

if TYPE_CHECKING:
    from airflow_mapping_kit.reload.form import Filled


class Periods:
    """The periods of a run.

    :param every: how long one is.
    :param zone: whose clock they are read on.
    :param offset: how many periods later.
    """

    def __init__(self, context: Any, filled: Filled, every: str, zone: str, offset: int) -> None:
        self._context, self._filled = context, filled
        self._every, self._zone, self._offset = every, zone, offset

    def own(self) -> list[str]:
        """Return those that the run is to load in any case."""
        if self._filled.dates is not None:
            return partitions.date_range(*self._filled.dates, every=self._every, timezone=self._zone)
        # By hand, Airflow 2 makes up the interval that ended last and Airflow 3 an empty one: one rule serves both.
        begin, until = self._interval()
        return ended_periods(begin, until, every=self._every, timezone=self._zone, offset=self._offset)

    def earlier(self, number: int) -> list[str]:
        """Return so many before these, the newest first; none from before the first scheduled run could load any."""
        if self._filled.dates is not None or not number:
            return []
        begin, until = self._interval()
        return earlier_periods(
            begin,
            until,
            number,
            since=first_begin(self._context),
            every=self._every,
            timezone=self._zone,
            offset=self._offset,
        )

    def _interval(self) -> tuple[Any, Any]:
        return run_interval(self._context) or (None, run_date(self._context))
