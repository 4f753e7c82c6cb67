"""One function for each item of a batch: an instance works on many, and every item stays on its own."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar, cast, overload

from airflow_mapping_kit.compat import (
    DecoratedOperator,
    DecoratedTask,
    XComArg,
    one_connection,
    parts,
)
from airflow_mapping_kit.exceptions import PlanError
from airflow_mapping_kit.labels import label
from airflow_mapping_kit.operators.batched.settings import (
    STEERED,
    check,
    check_key,
    check_literals,
    item_parameter,
)
from airflow_mapping_kit.plans.batches import RETURN_VALUE, unwraps
from airflow_mapping_kit.results import ItemResult

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from datetime import timedelta

    from airflow.decorators.base import Task
    from airflow.utils.context import Context

    from airflow_mapping_kit.checkpoints.progress import Results
    from airflow_mapping_kit.lineage.done import Done
    from airflow_mapping_kit.results import ItemResult

parts.need(parts.BATCHES)

P = ParamSpec("P")
R = TypeVar("R")


class BatchedOperator(DecoratedOperator):
    """Call a function for each item of a batch, each tried, timed and reported on its own.

    What `@task.batched` makes; `batched` describes the arguments. As a classic operator it takes
    `python_callable` and, in `op_kwargs`, the batch under the name of the function's parameter.

    It tries all items. If some fail, the instance fails with one error that names them. Its results exist in any
    case, and a retry works only on the items that are not done. For this it saves a checkpoint: in
    `[mapping_kit] storage` if that is set, otherwise on Airflow 3.3 in the task state store of the instance, and on
    Airflow 2 with the task that made the batches. The checkpoint survives retries and a killed worker; items that
    were running, or done in the last second, then run again. If somebody clears the instance, it starts from the
    beginning, except through `mapping-kit retry`. Without storage there is no checkpoint on Airflow 3.2, nor for
    literal batches on Airflow 2.

    For a slice of a large plan, or if the results are too large for an XCom, it returns where they are instead.
    """

    custom_operator_name = "@task.batched"
    items_key = RETURN_VALUE
    needs_batches = True
    keeps_what_is_done = takes_slices = True

    def __init__(
        self,
        *,
        python_callable: Callable[..., Any],
        concurrency: int = 1,
        item_retries: int = 0,
        item_retry_delay: timedelta | float = 1.0,
        item_timeout: timedelta | float | None = None,
        stop_after: int | None = None,
        rate: str | None = None,
        key: str | Sequence[str] | None = None,
        **kwargs: Any,
    ) -> None:
        check(
            python_callable,
            concurrency=concurrency,
            item_retries=item_retries,
            item_retry_delay=item_retry_delay,
            item_timeout=item_timeout,
            stop_after=stop_after,
            rate=rate,
            key=key,
        )
        super().__init__(python_callable=python_callable, **kwargs)
        self.concurrency = concurrency
        self.item_retries = item_retries
        self.item_retry_delay = item_retry_delay
        self.item_timeout = item_timeout
        self.stop_after = stop_after
        self.rate = rate
        self.key = key
        self.told_to_end = False
        self.at_work: Results | None = None
        self.done: Done | None = None

    @staticmethod
    def batch_parameter(declared: Any) -> str:
        """Return which parameter of a declared operator's function takes an item."""
        function = getattr(declared, "python_callable", None) or declared.partial_kwargs["python_callable"]
        return item_parameter(function)

    @staticmethod
    def declared_settings(declared: Any) -> dict[str, Any]:
        """Return what a declared operator says of what may be changed while it runs."""
        given = declared.partial_kwargs if hasattr(declared, "partial_kwargs") else vars(declared)
        return {"concurrency": 1, "stop_after": None, "rate": None} | {
            name: given[name] for name in STEERED if name in given
        }

    @staticmethod
    def item_fields(declared: Any) -> list[str] | None:
        """Return which fields of an item are its key, `None` for all."""
        given = declared.partial_kwargs if hasattr(declared, "partial_kwargs") else vars(declared)
        key = given.get("key")
        return [key] if isinstance(key, str) else key and list(key)

    @one_connection()
    def execute(self, context: Context) -> list[ItemResult] | dict[str, Any]:
        """Return the results of all items in their order, or where they are."""
        # Every instance of the DAG pays for what its file imports: what only a batch takes waits for it.
        from airflow_mapping_kit.operators.batched.work import worked_on_batch

        return worked_on_batch(self, context)

    def on_kill(self) -> None:
        """End the items: Airflow 3 calls this when the task is to end, and would go on with it."""
        from airflow_mapping_kit.operators.batched.attempts import ItemStopped

        self.told_to_end = True
        if self.at_work is not None:
            self.at_work.stop(ItemStopped())


class _BatchedTask(DecoratedTask[..., Any, Any]):
    """A function behind `@task.batched`: says what is wrong with it where it is called in a DAG file."""

    def _expand(self, expand_input: Any, *, strict: bool) -> XComArg:
        check(self.function, **self.kwargs)
        parameter = item_parameter(self.function)
        given = expand_input.value.get(parameter) if isinstance(expand_input.value, dict) else None
        if isinstance(given, list | tuple):
            check_literals(self.kwargs["task_id"], parameter, given)
        check_key(self.kwargs["task_id"], self.kwargs.get("key"), [], chained=unwraps(given))
        mapped: XComArg = super()._expand(expand_input, strict=strict)
        return mapped


@overload
def batched(python_callable: Callable[P, R]) -> Task[P, R]: ...


@overload
def batched(
    *,
    concurrency: int = 1,
    item_retries: int = 0,
    item_retry_delay: timedelta | float = 1.0,
    item_timeout: timedelta | float | None = None,
    stop_after: int | None = None,
    rate: str | None = None,
    key: str | Sequence[str] | None = None,
    **operator_arguments: Any,
) -> Callable[[Callable[P, R]], Task[P, R]]: ...


def batched(
    python_callable: Callable[..., Any] | None = None,
    *,
    multiple_outputs: bool | None = None,
    **operator_arguments: Any,
) -> Any:
    """Make a task of a function that takes one item. Mapped over batches, the task calls it for each of their items.

    This is `@task.batched` in a form that type checkers and editors understand. You map over the function's first
    parameter that is not a variable of Airflow's context; the others work as in any `@task`. An
    `async def` function runs in an event loop, any other in threads.

    :param concurrency: how many items of a batch run at the same time, 1,000 at most. Default 1. The number of calls
        in flight is this times the number of running instances.
    :param item_retries: how often a failed item is tried again, within the instance. Default 0. It is not tried
        again after `AirflowFailException`, nor if its result can't be kept.
    :param item_retry_delay: the delay before the second try, a `timedelta` or seconds. Each further delay is twice as
        long, up to ten minutes, plus a random part of up to a half. Default 1 s.
    :param item_timeout: how long one try may take, a `timedelta` or seconds. Default: no limit. A call that waits in
        C code can't be interrupted: it keeps its place until it returns, and its item is not tried again before.
    :param stop_after: after this many failures in a row no further item starts, and the rest is `not_started`.
        Default: all items are tried.
    :param rate: how many tries may start in any second, minute or hour, over all instances of the task in a run:
        `"5/s"`, `"100/m"`, `"2000/h"`. Default: no limit.
    :param key: the field or fields that make up an item's key: `key="id"`. Items are dicts then. Default:
        all fields. Items of a batch that another batched task returned keep their keys.
    :param operator_arguments: arguments of any task: `task_id`, `retries`, `pool`, `map_index_template`
        (default `label()`), ...
    :return: a TaskFlow task. An instance of it returns `[{"key", "state", "value", "error", "tries",
        "duration_s"}]`, a row per item, in their order; `state` is `success`, `failed`, `skipped`,
        `upstream_failed` or `not_started`. If the rows are too large for an XCom, and for a slice of a large plan, it
        returns `{"mapping_kit_part": {"states": {"success": 9990, "failed": 10}, "where": ..., ...}}`. If an item
        failed, the instance fails, and its result exists all the same. A batched task that is mapped over this
        output gets the values of the items that succeeded, and they keep their keys; with
        `trigger_rule="all_done"` also if an instance failed.
    :raises PlanError: if the function has no parameter for an item, or an argument is impossible.

    As a decorator:

    ```python
    @batched(concurrency=16, item_retries=2)
    def ship(order, api):
        return requests.post(api, json=order, timeout=10).json()

    ship.partial(api=url).expand(order=batches(orders, batch_size=50))
    ```

    of which an instance returns `[{"key": "id=1", "state": "success", "value": {"sent": True}, ...}, ...]`.
    """
    if multiple_outputs:
        raise PlanError("multiple_outputs=True: a batched task returns one list. Leave it out.")
    operator_arguments.setdefault("map_index_template", label())

    def decorate(function: Callable[P, R]) -> Task[P, R]:
        check(function, **operator_arguments)
        task = _BatchedTask(
            function=function,
            operator_class=BatchedOperator,
            multiple_outputs=False,
            kwargs=dict(operator_arguments),
            decorator_name="task.batched",
        )
        return cast("Task[P, R]", task)

    return decorate if python_callable is None else decorate(python_callable)
