"""A run of another DAG for each item, started and awaited by one task."""

from __future__ import annotations

import time
from collections import Counter
from typing import TYPE_CHECKING, Any

from airflow_mapping_kit.compat import (
    AirflowException,
    AirflowSkipException,
    BaseOperator,
    bad_input_fails_at_once,
    parts,
)
from airflow_mapping_kit.exceptions import ChildRunError
from airflow_mapping_kit.operators.dagrun import record, runs
from airflow_mapping_kit.operators.dagrun.links import ChildRunsLink, FailedChildRunsLink
from airflow_mapping_kit.operators.dagrun.plan import Parent, check_run_ids, planned
from airflow_mapping_kit.operators.dagrun.record import Step
from airflow_mapping_kit.operators.dagrun.rows import check, rows_of
from airflow_mapping_kit.operators.dagrun.states import QUEUED, RUNNING, Ends
from airflow_mapping_kit.operators.dagrun.trigger import ChildRunsTrigger
from airflow_mapping_kit.operators.dagrun.watch import Watch
from airflow_mapping_kit.partitions.sequences import shown, spelled
from airflow_mapping_kit.plans.arguments import known_at_run_time
from airflow_mapping_kit.results import FAILED, SUCCESS

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from airflow.utils.context import Context

    from airflow_mapping_kit.operators.dagrun.record import Kept

parts.need(parts.CHILD_RUNS)


class TriggerDagRunPerItemOperator(BaseOperator):
    """Start a run of another DAG for each item, and wait for all of them without a slot.

    One task starts the runs of all items, one after the other. Then it is deferred until the last run has ended. It
    takes no slot while it waits, so it can't lock up with its runs. This needs a triggerer.

    The run id of a child run is computed from the DAG, the run and the task that started it, and from the key of its
    item. So each run is started once, whatever happened before. If the task runs again, by a retry or because somebody
    cleared it, it keeps runs that succeeded, waits for runs that are running, starts missing runs, and runs again what
    did not succeed in failed runs. On Airflow 3 it runs all tasks of a failed run again. A run keeps the `conf` that it
    was started with.

    If this task is killed, ended or marked failed, its child runs go on. The task finds them when it runs again. If it
    never runs again, end them in the grid of their own DAG: the links *Child runs* and *Failed child runs* lead there.

    If a child run fails, this task fails, with one error that names the items. The rows are in its XCom all the same.

    .. code-block:: python

        TriggerDagRunPerItemOperator(
            task_id="ship", trigger_dag_id="ship_order", items=orders(), item_key="order", conf={"date": "{{ ds }}"}
        )

    The `conf` of a run is `{"date": "2024-11-20", "order": 17}`. The task returns `[{"key": "order=17",
    "run_id": "per_item__shop__scheduled__...", "state": "success"}, ...]`, a row per item in the order of the items.
    `state` is the state of the run, or `deleted` if somebody has deleted the run.

    :param trigger_dag_id: the DAG to run (templated)
    :param items: a list of JSON values, or the output of a task. An empty list skips the task (templated, but values of
        an XCom never are)
    :param item_key: the name of the item in `dag_run.conf` and in keys. With `None` the items are dicts, and their
        entries are put into `conf` themselves. Default `"item"`
    :param conf: a dict that every run gets in `dag_run.conf` beside its item (templated, but values of an XCom never
        are). Default: nothing
    :param wait_for_completion: whether the task waits for the runs. With `False` it succeeds when all are started, and
        its rows have their states at that moment. Default `True`
    :param allowed_states: a list of the states in which a run counts as done. Such a run is never run again.
        Default `["success"]`
    :param failed_states: a list of the states in which a run fails this task. Default `["failed"]`. If `failed` is in
        neither list, the task waits until somebody clears the failed run and it succeeds
    :param max_in_flight: how many of the runs may be unfinished at once. The task starts others as runs end. Default:
        it starts all at once, and `max_active_runs` of their DAG limits how many run
    :param deferrable: whether the task waits in the triggerer, whatever `[operators] default_deferrable` says. With
        `False` it waits in its slot. If several such instances take all slots that their runs need, none of them ever
        ends. Default `True`
    :param poke_interval: seconds between two checks of the runs. Default 10
    :raises ChildRunError: before any run is started, if the DAG doesn't exist, can't be imported or is paused, or if
        its params don't allow an item (on Airflow 3 when this run is about to start); if `[scheduler]
        allowed_run_id_pattern` doesn't allow a run id; if items are not a list, or not JSON
    :raises AirflowException: at the end, if a run failed
    """

    template_fields = ("trigger_dag_id", "items", "conf")
    template_fields_renderers = {"items": "json", "conf": "json"}  # noqa: RUF012  Airflow declares it so
    operator_extra_links = (ChildRunsLink(), FailedChildRunsLink())
    ui_color = "#ffefeb"
    _killed = False

    def __init__(
        self,
        *,
        trigger_dag_id: str,
        items: Any,
        item_key: str | None = "item",
        conf: Mapping[str, Any] | None = None,
        wait_for_completion: bool = True,
        allowed_states: Sequence[Any] | None = None,
        failed_states: Sequence[Any] | None = None,
        max_in_flight: int | None = None,
        deferrable: bool = True,
        poke_interval: float = 10.0,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        if item_key is not None and (not isinstance(item_key, str) or not item_key):
            raise ChildRunError(f"item_key={shown(item_key)}: give a name, or None.")
        if (
            isinstance(poke_interval, bool)
            or not isinstance(poke_interval, int | float)
            or poke_interval <= 0
        ):
            raise ChildRunError(f"poke_interval={shown(poke_interval)}: give seconds above 0.")
        if max_in_flight is not None and (type(max_in_flight) is not int or max_in_flight < 1):
            raise ChildRunError(
                f"max_in_flight={shown(max_in_flight)}: give a number of runs from 1, or leave it out."
            )
        if max_in_flight is not None and not wait_for_completion:
            raise ChildRunError(
                f"max_in_flight={max_in_flight} with wait_for_completion=False: a task that doesn't wait can't start "
                f"runs as others end. Leave one of them out; max_active_runs of {trigger_dag_id!r} bounds them too."
            )
        Ends.of(allowed_states, failed_states)
        self._refuse_own(trigger_dag_id)
        if not known_at_run_time([items, conf]):
            planned(items, conf=conf, item_key=item_key, parent=Parent("", "", "", -1))
        self.trigger_dag_id = trigger_dag_id
        self.items = items
        self.item_key = item_key
        self.conf = conf
        self.wait_for_completion = wait_for_completion
        self.allowed_states = allowed_states
        self.failed_states = failed_states
        self.max_in_flight = max_in_flight
        self.deferrable = deferrable
        self.poke_interval = poke_interval

    def execute(self, context: Context) -> list[dict[str, str]]:
        """Start what is missing, run again what failed, and wait for what has not ended."""
        ends = Ends.of(self.allowed_states, self.failed_states)
        with bad_input_fails_at_once():
            self._refuse_own(self.trigger_dag_id)
            wanted = planned(
                spelled(_materialized(self.items)),
                conf=self.conf,
                item_key=self.item_key,
                parent=_parent(context),
            )
            if not wanted:
                raise AirflowSkipException(f"{self.task_id} got no items: there is nothing to run.")
            found = runs.states(self.trigger_dag_id, [run.run_id for run in wanted])
            missing = [run for run in wanted if run.run_id not in found]
            again = FAILED not in ends.allowed
            failed = [run for run in wanted if again and found.get(run.run_id) == FAILED]
            steps = [Step(run, False) for run in missing] + [Step(run, True) for run in failed]
            kept = record.Kept({run.run_id: run.key for run in wanted}, steps)
            in_flight = sum(state not in {*ends.all, FAILED} for state in found.values())
            if steps or in_flight:
                child = runs.Child.of(self.trigger_dag_id)
                check_run_ids(missing)
                child.check_params(missing)
                record.keep(context["ti"], wanted, steps if self.max_in_flight else ())
                self._announce(child, steps, found)
                self._go_on(context, kept, 0, in_flight, child)
        return self._rows(context, kept)

    def execute_complete(
        self,
        context: Context,
        event: dict[str, Any],  # noqa: ARG002 -- it is asked once more
        started: int = 0,
    ) -> list[dict[str, str]]:
        """Start what there is room for now, and wait on; at the end return what became of the child runs."""
        kept = record.kept(_parent(context))
        if not kept.keys:
            raise AirflowException(
                f"The XCom {record.RUNS_KEY!r} of {self.task_id}, which says what it waits for, was deleted. Clear "
                f"the task: it adopts its child runs."
            )
        done = Ends.of(self.allowed_states, self.failed_states).all
        found = runs.states(self.trigger_dag_id, [*kept.begun(started)])
        in_flight = sum(state not in done for state in found.values())
        left = len(kept.steps) > started
        if left or in_flight:
            if not left:
                self.log.info("Some runs that had ended are running again: somebody has cleared them.")
            with bad_input_fails_at_once():
                child = runs.Child.of(self.trigger_dag_id) if left else None
                self._go_on(context, kept, started, in_flight, child)
        return self._rows(context, kept)

    def on_kill(self) -> None:
        """Start no more child runs, and say what becomes of those that there are."""
        # Airflow 3 raises nothing in a task that is to end.
        self._killed = True
        self.log.warning(
            "The runs of %s that this task has started go on. When the task runs again it adopts them.",
            self.trigger_dag_id,
        )

    def _refuse_own(self, trigger_dag_id: str) -> None:
        dag = self.get_dag()
        if dag is not None and trigger_dag_id == dag.dag_id:
            raise ChildRunError(
                f"trigger_dag_id={trigger_dag_id!r} is the DAG of {self.task_id} itself: its runs would wait for "
                f"others of their own, each of which counts in max_active_runs. Give the items a DAG of their own."
            )

    def _announce(self, child: runs.Child, steps: Sequence[Step], found: Mapping[str, str]) -> None:
        """Log what becomes of each run, and how many of them there can be at once."""
        states = Counter(found.values())
        again = sum(step.again for step in steps)
        total = len(steps) - again + states.total()
        self.log.info(
            "%d items, runs of %s: %d to start, %d failed ones to run again, %d unfinished ones to adopt, %d "
            "%s ones to keep. All of them go on if this task is ended; when it runs again it adopts them.",
            total,
            self.trigger_dag_id,
            len(steps) - again,
            again,
            states[QUEUED] + states[RUNNING],
            states[SUCCESS] + states[FAILED] - again,
            "succeeded" if states[FAILED] == again else "ended",
        )
        at_once = min(self.max_in_flight or total, child.max_active_runs or total)
        if at_once == child.max_active_runs and at_once < total:
            self.log.info(
                "%s has max_active_runs=%d, so that many of its runs go on at once, those of others included.",
                self.trigger_dag_id,
                at_once,
            )
        if self.wait_for_completion and self.deferrable and not runs.has_triggerer():
            self.log.warning(
                "No triggerer is alive, and this task goes on only when one is: start `airflow triggerer`. "
                "Its child runs don't need it."
            )

    def _go_on(
        self, context: Context, kept: Kept, started: int, in_flight: int, child: runs.Child | None
    ) -> None:
        """Start as many runs as there is room for, and wait until there is room for more, or all have ended.

        :param started: how many of the steps are done.
        :param in_flight: how many of the runs have not ended.
        :param child: their DAG, if any step is left.
        """
        done = Ends.of(self.allowed_states, self.failed_states).all
        while True:
            room = len(kept.steps) if self.max_in_flight is None else max(self.max_in_flight - in_flight, 0)
            steps = kept.steps[started : started + room]
            if child is not None and steps:
                self._start(child, steps)
            started += len(steps)
            if not self.wait_for_completion:
                return
            left = len(kept.steps) > started
            until = self.max_in_flight - 1 if left and self.max_in_flight else 0
            if self.deferrable:
                self.defer(
                    trigger=ChildRunsTrigger(
                        trigger_dag_id=self.trigger_dag_id,
                        **_parent(context)._asdict(),
                        started=started,
                        until=until,
                        done=sorted(done),
                        poke_interval=self.poke_interval,
                    ),
                    method_name="execute_complete",
                    # Without max_in_flight nothing is kept of what there was to do, and nothing is left of it.
                    kwargs={"started": started if self.max_in_flight else 0},
                )
            in_flight = self._watched(Watch(self.trigger_dag_id, kept.begun(started), done), until)
            if not left:
                return

    def _start(self, child: runs.Child, steps: Sequence[Step]) -> None:
        started = again = 0
        for step in self._unless_killed(steps):
            if step.again:
                again += runs.restart(child, step.run)
            else:
                started += runs.start(child, step.run)
        self.log.info("Started %d runs, and ran again what did not succeed in %d.", started, again)

    def _unless_killed(self, steps: Sequence[Step]) -> Iterator[Step]:
        """Give what is to be done until this task is to end, and then fail it.

        :raises AirflowException: before the first run that is left out.
        """
        for number, step in enumerate(steps):
            if self._killed:
                raise AirflowException(
                    f"{self.task_id} was ended: {len(steps) - number:,} of {len(steps):,} runs of "
                    f"{self.trigger_dag_id} were left out, the first of them {step.run.key}. When the task runs "
                    f"again it goes on from there."
                )
            yield step

    def _watched(self, watch: Watch, until: int) -> int:
        """Wait here until so few runs are in flight; return how many are."""
        while (in_flight := watch.look()) > until:
            for _ in _ticks(self.poke_interval):
                if self._killed:
                    raise AirflowException(
                        f"{self.task_id} was ended while it waited for {in_flight:,} runs of {self.trigger_dag_id}. "
                        f"When the task runs again it adopts them."
                    )
        return in_flight

    def _rows(self, context: Context, kept: Kept) -> list[dict[str, str]]:
        """Return a row a child run; if one is not as it should be, push them first and fail."""
        rows = rows_of(self.trigger_dag_id, kept.keys)
        counted = ", ".join(
            f"{number:,} {state}" for state, number in Counter(r["state"] for r in rows).items()
        )
        self.log.info("%d runs of %s: %s.", len(rows), self.trigger_dag_id, counted)
        if self.wait_for_completion:
            ends = Ends.of(self.allowed_states, self.failed_states)
            try:
                check(rows, ends, trigger_dag_id=self.trigger_dag_id, parent=_parent(context))
            except AirflowException:
                # A task that fails returns nothing, and who looks for the failed runs needs their ids.
                if self.do_xcom_push:
                    context["ti"].xcom_push("return_value", rows)
                raise
        return rows


def _parent(context: Context) -> Parent:
    instance = context["ti"]
    return Parent(instance.dag_id, instance.run_id, instance.task_id, instance.map_index)


def _materialized(items: Any) -> Sequence[Any]:
    """Replace the lazy sequence that a mapped task's output arrives as by a list."""
    is_lazy = hasattr(items, "__iter__") and not isinstance(items, list | tuple | str | bytes | dict | set)
    return list(items) if is_lazy else items


def _ticks(seconds: float) -> Iterable[None]:
    """Sleep, a second at a time at most: Airflow 3 ends a task by a signal that interrupts no sleep."""
    until = time.monotonic() + seconds
    while (left := until - time.monotonic()) > 0:
        time.sleep(min(left, 1.0))
        yield
