"""What a batched task may be asked for, checked when its DAG is parsed."""

from __future__ import annotations

import inspect
import warnings
from collections.abc import Sequence
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from airflow_mapping_kit.compat import AIRFLOW_3, KNOWN_CONTEXT_KEYS
from airflow_mapping_kit.exceptions import PlanError, SteeringError
from airflow_mapping_kit.partitions.sequences import shown
from airflow_mapping_kit.plans.arguments import known_at_run_time
from airflow_mapping_kit.plans.naming import check_fields, check_named
from airflow_mapping_kit.steering.rate import Rate
from airflow_mapping_kit.steering.settings import CONCURRENCY, MAX_CONCURRENCY, RATE, STOP_AFTER
from airflow_mapping_kit.storage.place import is_set

if TYPE_CHECKING:
    from collections.abc import Callable

# Arguments of the operator that somebody may change while it runs.
STEERED = (CONCURRENCY, STOP_AFTER, RATE)


def item_parameter(function: Callable[..., Any]) -> str:
    """Return the name of the parameter that takes an item: the first that Airflow's context has no name for.

    :raises PlanError: if there is none.
    """
    for parameter in inspect.signature(function).parameters.values():
        named = parameter.kind in {parameter.POSITIONAL_OR_KEYWORD, parameter.KEYWORD_ONLY}
        if named and parameter.name not in KNOWN_CONTEXT_KEYS:
            return parameter.name
    name = getattr(function, "__name__", repr(function))
    raise PlanError(
        f"@task.batched: {name}() has no parameter that could take an item. Give it one, def {name}(item), "
        f"and map over it: {name}.expand(item=batches(items, batch_size=50))."
    )


def check(
    function: Callable[..., Any],
    *,
    concurrency: Any = 1,
    item_retries: Any = 0,
    item_retry_delay: Any = 1.0,
    item_timeout: Any = None,
    stop_after: Any = None,
    rate: Any = None,
    key: Any = None,
    **_: Any,
) -> None:
    """Check the settings of a batched task among the arguments of its operator.

    :raises PlanError: naming the setting that can't be.
    """
    item_parameter(function)
    for name, value, least in (
        ("concurrency", concurrency, 1),
        ("item_retries", item_retries, 0),
        ("stop_after", 1 if stop_after is None else stop_after, 1),
    ):
        if isinstance(value, bool) or not isinstance(value, int) or value < least:
            raise PlanError(f"{name}={shown(value)}: give a whole number of at least {least}.")
    if concurrency > MAX_CONCURRENCY:
        raise PlanError(f"concurrency={concurrency}: give a whole number from 1 to {MAX_CONCURRENCY:,}.")
    for name, value in (
        ("item_retry_delay", item_retry_delay),
        ("item_timeout", 1 if item_timeout is None else item_timeout),
    ):
        number = not isinstance(value, bool) and isinstance(value, timedelta | int | float)
        if not number or seconds(value) < 0 or (name == "item_timeout" and seconds(value) == 0):
            raise PlanError(f"{name}={shown(value)}: give seconds above 0, or a timedelta.")
    if rate is not None:
        try:
            Rate.of(rate)
        except SteeringError as error:
            raise PlanError(str(error)) from None
    check_fields(key)


def check_key(
    task_id: str, key: Any, batch: Sequence[Any], *, chained: bool, called: str = "item {} of the batch"
) -> None:
    """Check that items have the fields that their keys are to be made of.

    :param called: what an error calls an item of a certain number.
    :param chained: whether another batched task has named the items.
    :raises PlanError: naming the first item that has not, without its values; or if the keys are there already.
    """
    if key is None:
        return
    if chained:
        raise PlanError(
            f"{task_id}: key={shown(key)} has no effect, because the items keep the keys of the batched task "
            "before. Set key= there."
        )
    check_named(task_id, called, key, batch)


def check_literals(task_id: str, parameter: str, batches: Sequence[Any]) -> None:
    """Check batches that are written into the DAG's file, and warn of what they go without.

    :raises PlanError: naming the one that is no batch.
    """
    for batch in batches:
        is_list = isinstance(batch, Sequence) and not isinstance(batch, str)
        if not known_at_run_time(batch) and (not is_list or not batch):
            raise PlanError(
                f"{task_id}.expand({parameter}=...): {shown(batch)} is no batch. Give a list of batches, "
                f"each a list of items: [[1, 2], [3]], or batches(items, batch_size=50)."
            )
    if not AIRFLOW_3 and not is_set():
        warnings.warn(
            f"{task_id} is mapped over literal batches, which no task made: there is nowhere to keep a "
            f"checkpoint, and a retry does all of a batch again. Map it over batches(items, batch_size=50).",
            stacklevel=4,  # whoever called expand()
        )


def seconds(duration: timedelta | float) -> float:
    """Return a duration in seconds: `timedelta(minutes=1)` gives 60.0."""
    return duration.total_seconds() if isinstance(duration, timedelta) else float(duration)
