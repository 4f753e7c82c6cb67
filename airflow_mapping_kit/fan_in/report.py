"""The report of a fan-in: its counts, and its rows or the place where they are stored."""

from __future__ import annotations

import json
from contextlib import suppress
from typing import TYPE_CHECKING, Any, NamedTuple

from airflow_mapping_kit.compat import AirflowException
from airflow_mapping_kit.exceptions import FanInError, StorageError
from airflow_mapping_kit.fan_in import among_xcoms, json_lines, manifest
from airflow_mapping_kit.outcomes.parts import Part
from airflow_mapping_kit.results import FAILURES
from airflow_mapping_kit.storage.place import root

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from airflow_mapping_kit.outcomes.states import Outcome
    from airflow_mapping_kit.results import Result

# More than the counts of a report, its commonest errors, and where its rows are, ever take.
_BYTES_OF_COUNTS = 512
_ERRORS = 5
# Where a report has not all rows it has the first that failed, at most so many: to read one of a part is a request.
_FAILURES = 1000
_FAILURES_AMONG_XCOMS = 100
# Rows of more parts than that are not gathered in a report, however few they are: each would be a request.
_PARTS = 100


class Report(NamedTuple):
    """What a fan-in pushes, and why its rows could not be stored, if they couldn't.

    The rows are in the report as `results`, in a file as `written_to`, or by reference as `parts`. If they could not be
    stored, the first failed ones are `failures`.
    """

    pushed: dict[str, Any]
    trouble: FanInError | StorageError | AirflowException | None


def made_of(found: Outcome, *, values: bool, write_to: str | None, instance: Any) -> Report:
    """Return the report of a fan-in, and write its rows to files if the DAG asks for it, or if they are too many.

    :param found: the outcomes of the plan.
    :param values: whether the rows have the values of the pieces.
    :param write_to: the file, if the DAG's author named one.
    :param instance: the instance of the fan-in.
    """
    from airflow.configuration import conf

    room = conf.getint("mapping_kit", "max_result_kb", fallback=1024) * 1024 - _BYTES_OF_COUNTS
    inline = None if write_to is not None else _inline(found, room, values=values)
    if inline is not None:
        return Report(inline, None)
    summary = {**found.counts, "errors": [list(one) for one in found.tally.errors.most_common(_ERRORS)]}
    first = _First(room)
    try:
        if write_to is not None:
            lines = (_line(row) for row in first.of(_rows(found.rows(), values=values)))
            where: dict[str, Any] = {"written_to": json_lines.write(lines, write_to, "write_to")}
        elif root() is not None:
            failures = first.of(found.failures())
            where = manifest.write(found, summary, failures, values=values, instance=instance)
        else:
            where = {"parts": among_xcoms.keep(found, values=values, instance=instance)}
            first.take(found.failures(), _FAILURES_AMONG_XCOMS)
    except (FanInError, StorageError, AirflowException) as error:
        if write_to is not None:
            inline = _inline(found, room, values=values)
        if inline is None:
            first = _First(room)
            # What could not be read may be what failed.
            with suppress(FanInError):
                first.take(found.failures(), _FAILURES)
        return Report(inline or {**summary, "failures": list(_rows(first.rows, values=values))}, error)
    return Report({**summary, "failures": list(_rows(first.rows, values=values)), **where}, None)


class _First:
    """The first failed rows, as many as fit into a report.

    :param room: how many bytes they may have.
    """

    def __init__(self, room: int) -> None:
        self.rows: list[Result] = []
        self._room = room
        self._full = False

    def of(self, rows: Iterable[Result]) -> Iterator[Result]:
        """Yield rows, keeping the first that failed."""
        for row in rows:
            if not self._full and row["state"] in FAILURES:
                self._keep(row, _FAILURES)
            yield row

    def take(self, rows: Iterable[Result], most: int) -> None:
        """Keep the first of some failed rows, and read no more of them."""
        for row in rows:
            self._keep(row, most)
            if self._full:
                return

    def _keep(self, row: Result, most: int) -> None:
        self._room -= len(_line(row)) + 2
        if self._room >= 0:
            self.rows.append(row)
        self._full = self._room < 0 or len(self.rows) == most


def _inline(found: Outcome, room: int, *, values: bool) -> dict[str, Any] | None:
    """Return a report with all its rows, `None` if they have too many bytes."""
    parts = [share for share in found.shares if isinstance(share, Part)]
    if len(parts) > _PARTS or sum(share.size for share in parts) > room:
        return None
    rows = []
    for row in _rows(found.rows(), values=values):
        # As Airflow writes it, with `, ` between the rows.
        room -= len(_line(row)) + 2
        if room < 0:
            return None
        rows.append(row)
    return {**found.counts, "results": rows}


def _rows(rows: Iterable[Result], *, values: bool) -> Iterator[Result]:
    if values:
        return iter(rows)
    return ({name: part for name, part in row.items() if name != "value"} for row in rows)  # type: ignore[misc]


def _line(row: Result) -> str:
    return json.dumps(row, allow_nan=False)
