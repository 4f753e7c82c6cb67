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

    All items are tried. If some fail, so does the instance, with one error that names them; the results are
    there all the same, and a retry works only on what is not done. What is done is kept: in `[mapping_kit] storage`
    where that is set, else on Airflow 3.3 in the task state store of the instance, on Airflow 2 with the task that
    made the batches. It survives retries and a killed worker, after which what was done in the last second is worked
    on again, beside what was running. When a person clears the instance it starts afresh, unless by
    `mapping-kit retry`. Without storage nothing is kept on Airflow 3.2, nor on Airflow 2 of batches that are literals.

    Of a slice of a large plan, and where results are too long for an XCom, it returns where they are instead.
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
    """Make a task of a function that takes one item; mapped over batches, it is called for each of their items.

    The same as `@task.batched`, for type checkers and editors. The mapped argument has the name of the
    function's first parameter that is not one of Airflow's context; the others are as in any `@task`. An
    `async def` function runs in an event loop, any other in threads.

    :param concurrency: how many items of a batch run at once. Default 1. Calls in flight are this times the
        instances that run.
    :param item_retries: how often an item that failed is tried again, within the instance. Default 0. Not after
        `AirflowFailException`, nor for a result that can't be kept.
    :param item_retry_delay: before the second try, a `timedelta` or seconds; doubled before each further one,
        up to ten minutes, plus up to a half. Default 1 s.
    :param item_timeout: how long one try may take, a `timedelta` or seconds. Default: any time. A call that nobody
        can end, since it waits within C code, keeps its place until it is back, and its item is not tried again
        before.
    :param stop_after: after so many failures in a row no further item is begun; what is left is `not_started`.
        Default: all are tried.
    :param rate: how many tries may begin in any second, minute or hour, of all instances of the task in a run
        together: `"5/s"`, `"100/m"`, `"2000/h"`. Default: as many as there are.
    :param key: the field, or fields, of an item that its key is made of: `key="id"`. Items are dicts then. Default:
        all of its fields. Of a batch that another batched task returned the keys stay.
    :param operator_arguments: arguments of any task: `task_id`, `retries`, `pool`, `map_index_template`
        (default `label()`), ...
    :return: a TaskFlow task. An instance of it returns `[{"key", "state", "value", "error", "tries",
        "duration_s"}]`, one an item, in their order; `state` is `success`, `failed`, `skipped`,
        `upstream_failed` or `not_started`. Where they are too many for an XCom, and of a slice of a large plan, it
        returns `{"mapping_kit_part": {"states": {"success": 9990, "failed": 10}, "where": ..., ...}}`. If an item
        failed the instance does, and what it returns is there all the same. A batched task that is mapped over this
        output gets the values of the items that succeeded, and keeps their keys; with `trigger_rule="all_done"`
        also where an instance failed.
    :raises PlanError: if the function has no parameter for an item, or an argument can't be.

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
