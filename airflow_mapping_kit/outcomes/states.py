"""What became of the pieces of a mapped task or group in one run."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from itertools import chain
from typing import TYPE_CHECKING, Any

from airflow_mapping_kit.outcomes.items import Items
from airflow_mapping_kit.outcomes.parts import Part
from airflow_mapping_kit.outcomes.piece import REMOVED, Piece, worst
from airflow_mapping_kit.outcomes.shares import Held
from airflow_mapping_kit.outcomes.tally import Tally
from airflow_mapping_kit.partitions.pieces import distinct
from airflow_mapping_kit.plain import plain
from airflow_mapping_kit.plans import early_labels
from airflow_mapping_kit.plans.batches import RETURN_VALUE
from airflow_mapping_kit.plans.planned import Plan, calls_functions, sources
from airflow_mapping_kit.reading import tables
from airflow_mapping_kit.reading.instances import value_of
from airflow_mapping_kit.reading.records import RECORD_KEY

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from airflow_mapping_kit.outcomes.shares import Share
    from airflow_mapping_kit.plans.mapped import Mapped
    from airflow_mapping_kit.reading.instances import Instance, Reading, Source
    from airflow_mapping_kit.results import Counts, Result


@dataclass
class Outcome:
    """What became of a plan.

    :param shares: what became of each piece, in map-index order.
    :param unexpanded: the state of a task that was never expanded, else `None`.
    :param upstream: the states of the tasks right before it, of a mapped one the worst: `{task id: state}`.
    :param moved: where an instance did not work on the piece that the plan has at its index:
        `(map index, the key it worked on, the key in the plan)`, `None` for what is missing on one side.
    :param left_out: the types of what has no form in plain JSON, and is `None` in the values; of rows that are not
        at hand it is known when they were read.
    """

    shares: Sequence[Share] = ()
    unexpanded: str | None = None
    upstream: Mapping[str, str | None] = field(default_factory=dict)
    moved: list[tuple[int, str | None, str | None]] = field(default_factory=list)
    left_out: set[str] = field(default_factory=set)

    @cached_property
    def tally(self) -> Tally:
        """How many pieces ended how, and why. Of what summaries tell no row is read."""
        all_of_them = Tally()
        for share in self.shares:
            all_of_them.add(share.tally)
        return all_of_them

    @property
    def lost(self) -> list[str]:
        """Instances that account for other items than their batch has, in words."""
        return [
            f"{task_id} [{share.piece.index}] has {share.extent}, and accounts for "
            f"{sum(part['states'].values()):,} from item {part['first'] + 1:,} on"
            for share in self.shares
            if isinstance(share, Part)
            for task_id, part in share.wrong
        ]

    @property
    def counts(self) -> Counts:
        """How many pieces are in which state."""
        return self.tally.counts

    def rows(self) -> Iterator[Result]:
        """Yield a row a piece, in map-index order; of a batch a row an item. May be called again."""
        return chain.from_iterable(share.rows() for share in self.shares)

    def failures(self) -> Iterator[Result]:
        """Yield the rows of what failed, reading none of the pieces of which nothing did."""
        return chain.from_iterable(share.failures() for share in self.shares if share.tally.failed)


def outcome(mapped: Mapped, run_id: str, read: Reading = tables, *, values: bool = True) -> Outcome:
    """Return what became of every piece of `mapped` in a run.

    In the database two queries, however many pieces there are, and one for each batch whose instance was killed;
    what it takes without one, `Supervisor` says.

    :param read: how instances and XComs are read.
    :param values: whether what the pieces returned is read; without it their `value` is `None`.
    :raises PlanError: if the plan cannot be read any more.
    """
    dag_id = mapped.dag.dag_id
    upstream = _upstream(mapped)
    instances = read.instances(dag_id, run_id, {*mapped.task_ids, *upstream})
    before = {task_id: worst([one.state for one in instances[task_id].values()]) for task_id in upstream}
    alive = {
        task_id: {i: one for i, one in instances[task_id].items() if i >= 0 and one.state != REMOVED}
        for task_id in mapped.task_ids
    }
    if not any(alive.values()):
        states = [one.state for task_id in mapped.task_ids for one in instances[task_id].values()]
        # A plan that became empty leaves nothing but removed instances.
        emptied = bool(states) and set(states) == {REMOVED}
        return Outcome(unexpanded=None if emptied else worst(states), upstream=before)

    wanted = sources(mapped.expand_input)
    left_out: set[str] = set()
    items = Items(mapped, run_id, read, values=values, left_out=left_out)
    pairs = {(task_id, RECORD_KEY) for task_id in mapped.task_ids} | items.xcoms
    pairs |= {(source.task_id, source.key) for source in wanted}
    if values:
        pairs |= {(task_id, RETURN_VALUE) for task_id in mapped.returned}
    found = read.xcoms(dag_id, run_id, pairs)

    def pushed(source: Source) -> Any:
        return value_of(source, found)

    plan = Plan(mapped.expand_input, pushed, order=mapped.order)
    label = early_labels.of_pieces([mapped.dag.get_task(task_id) for task_id in mapped.task_ids], pushed)
    records = {task_id: found[task_id, RECORD_KEY] for task_id in mapped.task_ids}

    pieces = [Piece(mapped, index, alive, records) for index in range(max(len(plan), _length(alive)))]
    planned = list(plan)
    by_function = calls_functions(mapped.expand_input.value)
    keys = [
        piece.key(arguments, by_function=by_function)
        for piece, arguments in zip(pieces, planned, strict=False)
    ]
    moved = [
        (piece.index, piece.worked_on, keys[piece.index] if piece.index < len(keys) else None)
        for piece in pieces
        if piece.moved(keys)
    ]
    shares = [
        items.share(piece, arguments, found)
        or Held([piece.result(key, label(piece.index) or key, piece.value(found))])
        for piece, key, arguments in zip(pieces, keys, planned, strict=False)
    ]
    at_hand = [result for share in shares if isinstance(share, Held) for result in share.results]
    for result, key in zip(at_hand, distinct([result["key"] for result in at_hand]), strict=True):
        if result["label"] == result["key"]:
            result["label"] = key
        result["key"] = key
        result["label"], result["value"] = plain(result["label"], left_out), plain(result["value"], left_out)
    return Outcome(shares, upstream=before, moved=moved, left_out=left_out)


def _upstream(mapped: Mapped) -> set[str]:
    """Return the tasks right before a mapped task or group: they say why nothing was expanded."""
    before = {
        upstream.task_id
        for task_id in mapped.task_ids
        for upstream in mapped.dag.get_task(task_id).upstream_list
        if upstream.task_id not in (*mapped.task_ids, *mapped.teardowns)
    }
    return before | {source.task_id for source in sources(mapped.expand_input)}


def _length(alive: dict[str, dict[int, Instance]]) -> int:
    return max((index for by_index in alive.values() for index in by_index), default=-1) + 1
