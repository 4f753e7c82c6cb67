"""What would be cleared and started for some partitions of a history, by name, before anything is."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, NamedTuple

from airflow_mapping_kit.compat import condition_of
from airflow_mapping_kit.exceptions import PlanError, RedriveError
from airflow_mapping_kit.partitions.sequences import shown
from airflow_mapping_kit.plans.notes import said_of_missing
from airflow_mapping_kit.reading import tables
from airflow_mapping_kit.redrive.batches import about_batches
from airflow_mapping_kit.redrive.starts import Start, starts
from airflow_mapping_kit.redrive.wanted import Redrive, redrive
from airflow_mapping_kit.results import FINISHED_RUN

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from airflow_mapping_kit.history import History
    from airflow_mapping_kit.redrive.wanted import Cleared

FAILED, CHOSEN, MISSING = "failed", "chosen", "missing"
# By the letters of a history, of older data or not: what of it runs again, and what a run is started for.
_AGAIN = {FAILED: "fbu", CHOSEN: "fbuosth", MISSING: ""}
_START = {FAILED: "", CHOSEN: "m", MISSING: "m"}
_BUSY = "wq"
# So many partitions run again at once: Airflow takes 3 to 5 ms to clear an instance, while somebody waits.
MAX_PIECES = 2_500
_NAMED = 5


class Again(NamedTuple):
    """What runs again of a run.

    :param state: of the run.
    """

    run_id: str
    state: str
    wanted: Redrive


@dataclass(frozen=True)
class Preview:
    """What would be cleared and started.

    :param dag: the DAG.
    :param what: what was asked for.
    :param runs: what runs again, by run, the oldest first.
    :param starts: the runs that would be started.
    :param notes: what has to be said of it, a sentence each.
    :param fresh: whether all items of batches are done again.
    """

    dag: Any
    what: str
    runs: tuple[Again, ...]
    starts: tuple[Start, ...]
    notes: tuple[str, ...]
    fresh: bool = False

    @property
    def instances(self) -> int:
        """How many instances are cleared."""
        return sum(len(one.wanted.everything) for one in self.runs)

    @property
    def pieces(self) -> int:
        """How many instances of pieces are cleared, and how many pieces runs are started for."""
        return sum(len(one.wanted.pieces) for one in self.runs) + sum(one.pieces for one in self.starts)

    @cached_property
    def digest(self) -> str:
        """Text that two previews have in common if just the same is done."""
        runs = [
            [one.run_id, *([[c.task_id, c.map_index, c.state] for c in part] for part in _parts(one.wanted))]
            for one in self.runs
        ]
        made = [self.dag.dag_id, self.fresh, runs, [[one.run_id, one.conf] for one in self.starts]]
        return hashlib.sha256(json.dumps(made, sort_keys=True).encode()).hexdigest()[:32]

    def as_json(self) -> dict[str, Any]:
        """Return it as plain JSON.

        `{"runs": [{"run", "state", "before", "pieces", "after", "left"}], "starts": [{"run_id", "conf", "pieces"}],
        "notes", "instances", "pieces", "digest"}`, an instance as `[task, map index, state, label]`.
        """
        return {
            "runs": [
                {
                    "run": one.run_id,
                    "state": one.state,
                    **{
                        name: [list(instance) for instance in part]
                        for name, part in zip(("before", "pieces", "after"), _parts(one.wanted), strict=True)
                    },
                    "left": len(one.wanted.at_work),
                }
                for one in self.runs
            ],
            "starts": [one._asdict() for one in self.starts],
            "notes": list(self.notes),
            "instances": self.instances,
            "pieces": self.pieces,
            "digest": self.digest,
        }


def preview(found: History, what: str, cells: Iterable[int] | None = None, *, fresh: bool = False) -> Preview:
    """Return what would be cleared and started for some partitions: of each its newest try, whichever run it is of.

    :param found: the history that they are chosen from.
    :param what: `failed`: those that failed, were not begun, or whose upstream failed; `missing`: those that no run
        has; `chosen`: all of the cells, those too that are loaded.
    :param cells: those that are meant. Default: all.
    :param fresh: whether all items of batches are done again.
    :raises RedriveError: if the DAG is gone, or its file can't be imported: nothing would run.

    Example: of one partition that failed in a run of three, and a day that no run has, `preview(found, "failed")`
    clears the instance and the fan-in of that run, and `preview(found, "missing")` starts a run.
    """
    if what not in _AGAIN:
        raise RedriveError(f"{shown(what)} can't be run again: choose one of {', '.join(_AGAIN)}.")
    dag = found.target.mapped.dag
    notes = condition(dag.dag_id)
    chosen = list(range(len(found)) if cells is None else dict.fromkeys(cells))
    letters = {cell: chr(found.letters[cell]).lower() for cell in chosen}
    again = [cell for cell in chosen if letters[cell] in _AGAIN[what]]
    busy = sum(letter in _BUSY for letter in letters.values()) if cells is not None else 0
    if busy:
        notes.append(f"{busy:,} of the chosen partitions are at work or waiting: they are left alone.")
    if len(again) > MAX_PIECES:
        notes.append(
            f"The first {MAX_PIECES:,} of {len(again):,} partitions: choose a part to run the others again."
        )
    runs, refused = _runs(found, again[:MAX_PIECES], done=what == CHOSEN)
    made, of_starts = starts(found, [cell for cell in chosen if letters[cell] in _START[what]])
    wanted = {one.run_id: one.wanted for one in runs}
    notes += [*refused, *map(_disturbed, runs), *about_batches(dag, wanted, fresh=fresh), *of_starts]
    missing = said_of_missing(dag)
    if missing and runs:
        notes.append(missing)
    return Preview(dag, what, tuple(runs), tuple(made), tuple(filter(None, notes)), fresh)


def condition(dag_id: str) -> list[str]:
    """Return what has to be said of a DAG whose runs would go on, or begin.

    :raises RedriveError: if none would.
    """
    now = condition_of(dag_id)
    if now.broken:
        raise RedriveError(
            f"The file of the DAG {dag_id} can't be imported, so nothing of it would run: mend the file. "
            f"`airflow dags list-import-errors` says what is wrong."
        )
    if not now.known:
        raise RedriveError(
            f"The DAG {dag_id} is gone: no file declares it any more, so nothing of it would run. Check with "
            f"`airflow dags list` and `airflow dags list-import-errors` what became of its file."
        )
    if now.paused:
        return [f"The DAG {dag_id} is paused: nothing of this runs until somebody unpauses it."]
    return []


def _runs(found: History, cells: Iterable[int], *, done: bool) -> tuple[list[Again], list[str]]:
    """Return what runs again of each run, and why it can't of others."""
    mapped = found.target.mapped
    states: dict[str, str] = {}
    indexes: dict[str, set[int]] = {}
    for cell in cells:
        attempt = found.attempt(cell)
        if attempt is not None:
            states[attempt.run.id] = attempt.run.state
            indexes.setdefault(attempt.run.id, set()).add(attempt.map_index)
    ids = [run.id for run in reversed(found.runs) if run.id in indexes]
    instances = tables.instances_of(found.dag_id, ids, list(mapped.dag.task_dict))
    again, refused = [], []
    for run_id in ids:
        try:
            wanted = redrive(
                [mapped],
                run_id,
                run_state=states[run_id],
                indexes={mapped.name: indexes[run_id]},
                done=done,
                found=instances[run_id],
            )
        except PlanError as error:
            refused.append(f"Nothing of the run {run_id} is cleared: {error}")
            continue
        if wanted.pieces:
            again.append(Again(run_id, states[run_id], wanted))
    return again, refused


def _disturbed(one: Again) -> str:
    """Return what becomes of a run that goes on."""
    if one.state in FINISHED_RUN:
        return ""
    ended = ("success", "failed", "skipped", "upstream_failed", None)
    stopped = [instance.task_id for instance in one.wanted.after if instance.state not in ended]
    more = f" and {len(stopped) - _NAMED} more" if len(stopped) > _NAMED else ""
    said = f"The run {one.run_id} is {one.state}: {len(one.wanted.at_work):,} instances of it are left alone"
    return (
        f"{said}; stopped and started again: {', '.join(stopped[:_NAMED])}{more}." if stopped else f"{said}."
    )


def _parts(wanted: Redrive) -> Sequence[Sequence[Cleared]]:
    return wanted.before, wanted.pieces, wanted.after
