"""What a batch does when it runs: its items are called, kept on the way, and accounted for."""

from __future__ import annotations

import inspect
from collections import Counter
from functools import partial
from typing import TYPE_CHECKING, Any

from airflow_mapping_kit.assets import mark_succeeded
from airflow_mapping_kit.checkpoints.checkpoint import place_for
from airflow_mapping_kit.checkpoints.owners import giving_way, owner_of
from airflow_mapping_kit.checkpoints.part import Part, max_result_kb
from airflow_mapping_kit.checkpoints.progress import SAVE_SECONDS, Results
from airflow_mapping_kit.compat import (
    AIRFLOW_3,
    AirflowException,
    AirflowFailException,
    AirflowSkipException,
    bad_input_fails_at_once,
    context_merge,
    determine_kwargs,
)
from airflow_mapping_kit.failures import described
from airflow_mapping_kit.lineage.done import Done
from airflow_mapping_kit.operators.batched.attempts import ItemStopped, Policy
from airflow_mapping_kit.operators.batched.batch import worked_on
from airflow_mapping_kit.operators.batched.calls import Call
from airflow_mapping_kit.operators.batched.given import Given
from airflow_mapping_kit.operators.batched.results import Room
from airflow_mapping_kit.operators.batched.settings import check_key, item_parameter, seconds
from airflow_mapping_kit.operators.batched.steering import steering_of
from airflow_mapping_kit.plans.arguments import arguments, mapped_arguments
from airflow_mapping_kit.plans.batches import RETURN_VALUE, received
from airflow_mapping_kit.reading import of_task
from airflow_mapping_kit.results import FAILED, NOT_STARTED, PART, SUCCESS, ItemResult

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from airflow.utils.context import Context

    from airflow_mapping_kit.checkpoints.part import Place
    from airflow_mapping_kit.operators.batched.steering import Steering
    from airflow_mapping_kit.results import Error, ItemRow

_WITHOUT = "Before Airflow 3.3 nothing outlives a try" if AIRFLOW_3 else "No task made this batch"


def worked_on_batch(operator: Any, context: Context) -> list[ItemResult] | dict[str, Any]:
    """Return the results of all items in their order, or where they are.

    :param operator: the `BatchedOperator` that runs.
    """
    with bad_input_fails_at_once():
        given, fixed = _given(operator, context)
        count = given.span.count
        if not count:
            raise AirflowSkipException(f"{operator.task_id} got an empty batch: there is nothing to do.")
        owner, kib = owner_of(context), max_result_kb()
        place = place_for(context, owner, sliced=given.by_reference)
        part = Part(place, context["ti"], given.span, as_list=not given.by_reference, most_bytes=kib * 1024)
        done = part.take_over(given.keyed)
        before = Counter(part.states)
        _say_what_follows(operator, count, done, place)
    work = Results(operator.stop_after, part)
    calls = _calls(operator, given, fixed, work, Room(kib, in_all=not place.holds_parts))
    try:
        with giving_way(owner), bad_input_fails_at_once():
            _work(operator, calls, work, steering_of(operator, context, work), most=count - done)
            if owner is not None and part.by_item is not None:
                owner.check(done=True)
            results = work.finish()
    except ItemStopped:
        raise AirflowException(
            f"{operator.task_id} was told to end. What is done of its batch "
            f"{'is kept: a retry does the rest' if place.outlives_tries else 'is done again by a retry'}."
        ) from None
    finally:
        operator.done = Done()
        operator.done.states = part.states - before
    _fail_if_any_failed(operator, part, results, context)
    mark_succeeded(_rows(results, context), context=context)
    return results


def _work(operator: Any, calls: Iterator[Call], results: Results, steering: Steering, *, most: int) -> None:
    """Make the calls, no more than so many at a time whatever is said, and hand over their results."""
    operator.at_work = results
    try:
        if operator.told_to_end:
            raise ItemStopped
        with steering as gate:
            rest = worked_on(
                calls,
                results,
                concurrency=min(gate.concurrency, most),
                policy=Policy(
                    operator.item_retries,
                    seconds(operator.item_retry_delay),
                    None if operator.item_timeout is None else seconds(operator.item_timeout),
                ),
                in_event_loop=inspect.iscoroutinefunction(operator.python_callable),
                gate=gate,
            )
        for call in rest:
            results.note(call.item, _not_run(call.key, NOT_STARTED))
        results.check()
    finally:
        operator.at_work = None


def _given(operator: Any, context: Context) -> tuple[Given, dict[str, Any]]:
    """Return the batch, and the arguments that are the same for all of its items."""
    parameter = item_parameter(operator.python_callable)
    named = arguments(operator)
    batch, declared = named.pop(parameter, None), operator.dag.get_task(operator.task_id)
    how = received(declared)
    check = partial(check_key, operator.task_id, operator.key, chained=how.chained)
    named_by = check if operator.key is not None else None
    given = Given(batch, context["ti"], how, declared, mapped_arguments(context), named_by)
    context_merge(context, named)
    fixed = dict(determine_kwargs(operator.python_callable, (), context))
    fixed.pop(parameter, None)
    return given, fixed


def _calls(
    operator: Any, given: Given, fixed: dict[str, Any], results: Results, room: Room
) -> Iterator[Call]:
    """Yield what there is to call; hand over what is known without."""
    part = results.part
    call = _caller(operator, fixed, room)
    for number, item, named in given:
        if part.is_done(number):
            continue
        if named is not None:
            part.labels[number] = named
        if item.state == SUCCESS:
            yield Call(item.key, partial(call, item.value), number)
        else:
            results.note(number, _not_run(item.key, item.state, item.error))


def _caller(operator: Any, fixed: dict[str, Any], room: Room) -> Callable[[Any], Any]:
    """Return what calls the function for an item, and keeps what it returns."""
    function, parameter = operator.python_callable, item_parameter(operator.python_callable)

    def call(value: Any) -> Any:
        return room.kept(function(**{parameter: value}, **fixed))

    async def awaited(value: Any) -> Any:
        return room.kept(await function(**{parameter: value}, **fixed))

    return awaited if inspect.iscoroutinefunction(function) else call


def _say_what_follows(operator: Any, count: int, done: int, place: Place) -> None:
    operator.log.info(
        "%d items, %d of them already done. Up to %d run at the same time, and as many in each other running "
        "instance of %s. To limit the total, use a pool with pool_slots=%d.",
        count,
        done,
        min(operator.concurrency, count),
        operator.task_id,
        operator.concurrency,
    )
    if not place.outlives_tries:
        operator.log.info("%s, so there is no checkpoint: a retry does all of it again.", _WITHOUT)
        return
    operator.log.info(
        "What is done is saved with %s every %g s: a retry doesn't repeat it.",
        place.kept_with,
        SAVE_SECONDS,
    )


def _rows(
    results: list[ItemResult] | dict[str, Any],
    context: Context,
    *,
    failed: bool = False,
) -> Iterator[ItemResult | ItemRow]:
    """Yield the rows, which of a part are read as they are wanted.

    :param failed: whether of a part those that failed suffice; else they are without what items returned.
    """
    if isinstance(results, list):
        yield from results
        return
    from airflow_mapping_kit.checkpoints.parts import failed_rows_of, rows_of

    one: Any = context["ti"]
    place = results[PART], of_task(one), one.dag_id, one.run_id
    yield from failed_rows_of(*place) if failed else rows_of(*place, values=False)


def _fail_if_any_failed(
    operator: Any, part: Part, results: list[ItemResult] | dict[str, Any], context: Context
) -> None:
    number = part.states[FAILED] + part.states[NOT_STARTED]
    if not number:
        return
    # A task that fails returns nothing, and the fan-in and the next task need what is done.
    if operator.do_xcom_push:
        context["ti"].xcom_push(RETURN_VALUE, results)
    succeeded, kept = part.states[SUCCESS], part.place.outlives_tries
    rows = _rows(results, context, failed=True)
    failed = (row for row in rows if row["state"] in {FAILED, NOT_STARTED})
    message = (
        f"{number:,} of {part.span.count:,} items of {operator.task_id} failed, {succeeded:,} succeeded"
        f"{' and are not done again by a retry' if kept and succeeded else ''}:\n{described(failed)}\n"
        f"Mend the cause. A retry works on {'these items alone' if kept else 'all items again'}; an instance "
        f"that is cleared works on all of its items again."
    )
    raise (AirflowFailException if part.final == number else AirflowException)(message)


def _not_run(key: str, state: str, error: Error | None = None) -> ItemResult:
    """Return the result of an item that nothing was done for: for what it was before, or for `stop_after`."""
    return {"key": key, "state": state, "value": None, "error": error, "tries": 0, "duration_s": None}
