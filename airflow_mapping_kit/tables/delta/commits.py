"""What earlier commits of a run did to a Delta table, read back along the versions that its present one comes from."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from airflow_mapping_kit.tables import told

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from deltalake import DeltaTable

    from airflow_mapping_kit.tables.staged import Staged

# What our commits have in their `commitInfo`.
_TOLD = "mapping-kit.published"
_REPLACED = "mapping-kit.replaced"


@dataclass(frozen=True)
class Earlier:
    """The commits of one run.

    :param number: how many there were.
    :param version: that of the newest; the table's own if there is none.
    :param replaced: how many files the newest took out.
    :param pieces: the digests of what is published.
    :param rolled_back: the digests of what was, in versions that somebody has taken back by RESTORE.
    """

    number: int
    version: int
    replaced: int
    pieces: frozenset[str]
    rolled_back: frozenset[str]


def earlier_commits(table: DeltaTable, run: str) -> Earlier:
    """Return what commits of a run did. The log is read only if there is one."""
    number = table.transaction_version(_application(run))
    if number is None:
        return Earlier(0, table.version(), 0, frozenset(), frozenset())
    return _read(table.history(), told.run_in(told.told(run, ())), number, table.version())


def properties(run: str, pieces: Sequence[Staged], replaced: int, number: int, now: int) -> Any:
    """Return what a commit tells of itself.

    :param number: the how manieth of the run it is.
    """
    from deltalake.transaction import CommitProperties, Transaction

    metadata = {
        _TOLD: told.told(run, pieces),
        _REPLACED: replaced,
        "userMetadata": f"{len(pieces):,} partitions by airflow-mapping-kit",
    }
    # A retry of deltalake's would rebase the commit, and put an append to the same partition beside our rows.
    transactions = [Transaction(_application(run), number, now)]
    return CommitProperties(custom_metadata=metadata, max_commit_retries=0, app_transactions=transactions)


def _application(run: str) -> str:
    return f"mapping-kit {told.run_in(told.told(run, ()))}"


def _read(history: Iterable[dict[str, Any]], run: str, number: int, version: int) -> Earlier:
    newest: dict[str, Any] | None = None
    lines, taken_back = [], []
    is_taken_back: Callable[[Mapping[str, Any]], bool] = _nothing
    for entry in history:
        line = str(entry.get(_TOLD, ""))
        if is_taken_back(entry):
            taken_back += [line] if told.run_in(line) == run else []
        elif entry.get("operation") == "RESTORE":
            # The version before is that which was restored: what lies between is no ancestor.
            is_taken_back = _after(entry.get("operationParameters") or {})
        elif told.run_in(line) == run:
            newest = newest or entry
            lines.append(line)
    return Earlier(
        number,
        newest["version"] if newest else version,
        int(newest[_REPLACED]) if newest else 0,
        told.pieces_in(lines),
        told.pieces_in(taken_back),
    )


def _nothing(_: Mapping[str, Any]) -> bool:
    return False


def _after(restored: Mapping[str, Any]) -> Callable[[Mapping[str, Any]], bool]:
    """Return what tells whether a commit is later than what was restored: of what can't be read, all are."""
    version, moment = str(restored.get("version")), str(restored.get("datetime"))
    if version.isdigit():
        return lambda entry: entry["version"] > int(version)
    if moment.isdigit():
        return lambda entry: entry["timestamp"] > int(moment)
    return lambda _: True
