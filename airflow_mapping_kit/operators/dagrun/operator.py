"""A run of another DAG for each item, started and awaited by one task."""

from __future__ import annotations

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
from airflow_mapping_kit.failures import described
from airflow_mapping_kit.operators.dagrun import record, runs
from airflow_mapping_kit.operators.dagrun.plan import ChildRun, Parent, check_run_ids, planned
from airflow_mapping_kit.operators.dagrun.states import QUEUED, RUNNING, UNFINISHED
from airflow_mapping_kit.operators.dagrun.trigger import ChildRunsTrigger
from airflow_mapping_kit.partitions.sequences import shown, spelled
from airflow_mapping_kit.plans.arguments import known_at_run_time
from airflow_mapping_kit.results import FAILED, SUCCESS

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from airflow.utils.context import Context

    from airflow_mapping_kit.results import ItemResult

parts.need(parts.CHILD_RUNS)


class TriggerDagRunPerItemOperator(BaseOperator):
    """Start a run of another DAG for each item, and wait for all of them without a slot.

    One task does it for all items: it starts the runs one after the other, then it is deferred, once, until the
    last of them has ended. While it waits it keeps no slot from its runs, so the two can't lock each other up;
    that takes a triggerer.

    The run id of a child run follows from the DAG, the run and the task that started it and from the key of its
    item. So whatever happened before, it is started once: a retry, or a person who clears the task, adopts the
    runs that there are, starts those that are missing, and in those that failed runs again what did not
    succeed; on Airflow 3, which lets a task do no less, all of their tasks. What succeeded stays as it is. A run
    keeps the `conf` that it was started with.

    When this task is killed, ended or marked failed, its child runs go on. The task adopts them when it runs
    again; if it never does, end them in the grid of their own DAG.

    Any failed child run fails this task, with one error that names their items; the rows are there all the same.

    .. code-block:: python

        TriggerDagRunPerItemOperator(
            task_id="ship", trigger_dag_id="ship_order", items=orders(), item_key="order", conf={"date": "{{ ds }}"}
        )

    of which a run is told `{"date": "2024-11-20", "order": 17}`, and which returns `[{"key": "order=17",
    "run_id": "per_item__shop__scheduled__...", "state": "success"}, ...]`, a row an item in their order.
    `state` is that of the run: `success`, `failed`, or `deleted` if somebody deleted it meanwhile.

    :param trigger_dag_id: the DAG to run (templated)
    :param items: JSON values, or what a task returned; no items skip the task (templated, but never the values
        of an XCom)
    :param conf: what every run is told beside its item, in `dag_run.conf` (templated, but never the values of an
        XCom)
    :param item_key: the name of the item there, and in keys; `None` where items are dicts whose entries are to
        stand there themselves
    :param poll_interval: seconds from one look at the runs to the next
    :raises ChildRunError: before any run is started, if the DAG does not exist, can't be imported, is paused, or
        its params don't allow an item (on Airflow 3 when the run of that item is to start); if `[scheduler]
        allowed_run_id_pattern` doesn't allow a run id; if items are no list, or no JSON
    :raises AirflowException: afterwards, if a run failed
    """

    template_fields = ("trigger_dag_id", "items", "conf")
    template_fields_renderers = {"items": "json", "conf": "json"}  # noqa: RUF012  Airflow declares it so
    ui_color = "#ffefeb"
    _killed = False

    def __init__(
        self,
        *,
        trigger_dag_id: str,
        items: Any,
        conf: Mapping[str, Any] | None = None,
        item_key: str | None = "item",
        poll_interval: float = 10.0,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        if (
            isinstance(poll_interval, bool)
            or not isinstance(poll_interval, int | float)
            or poll_interval <= 0
        ):
            raise ChildRunError(f"poll_interval={shown(poll_interval)}: give seconds above 0.")
        if item_key is not None and (not isinstance(item_key, str) or not item_key):
            raise ChildRunError(f"item_key={shown(item_key)}: give a name, or None.")
        self._refuse_own(trigger_dag_id)
        if not known_at_run_time([items, conf]):
            planned(items, conf=conf, item_key=item_key, parent=Parent("", "", "", -1))
        self.trigger_dag_id = trigger_dag_id
        self.items = items
        self.conf = conf
        self.item_key = item_key
        self.poll_interval = poll_interval

    def execute(self, context: Context) -> list[dict[str, str]]:
        """Start what is missing, run again what failed, and wait for what has not ended."""
        parent = _parent(context)
        with bad_input_fails_at_once():
            self._refuse_own(self.trigger_dag_id)
            wanted = planned(
                spelled(_materialized(self.items)), conf=self.conf, item_key=self.item_key, parent=parent
            )
            if not wanted:
                raise AirflowSkipException(f"{self.task_id} got no items: there is nothing to run.")
            found = runs.states(self.trigger_dag_id, [run.run_id for run in wanted])
            missing = [run for run in wanted if run.run_id not in found]
            failed = [run for run in wanted if found.get(run.run_id) == FAILED]
            if missing or failed or UNFINISHED.intersection(found.values()):
                child = runs.Child.of(self.trigger_dag_id)
                check_run_ids(missing)
                child.check_params(missing)
                record.keep(context["ti"], wanted)
                self._start(child, missing, failed, found)
                self._wait(parent)
        return self._rows(context, {run.run_id: run.key for run in wanted})

    def execute_complete(self, context: Context, event: dict[str, Any]) -> list[dict[str, str]]:  # noqa: ARG002
        """Return what became of the child runs."""
        parent = _parent(context)
        keys = record.kept(parent)
        if not keys:
            raise AirflowException(
                f"The XCom {record.RUNS_KEY!r} of {self.task_id}, which says what it waits for, was deleted. Clear "
                f"the task: it adopts its child runs."
            )
        if UNFINISHED.intersection(runs.states(self.trigger_dag_id, list(keys)).values()):
            self.log.info("Some runs go on, which had ended before: somebody has cleared them.")
            self._wait(parent)
        return self._rows(context, keys)

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

    def _start(
        self, child: runs.Child, missing: list[ChildRun], failed: list[ChildRun], found: Mapping[str, str]
    ) -> None:
        """Start runs; log what becomes of each, and how many of them there can be at once."""
        states = Counter(found.values())
        total = len(missing) + states.total()
        self.log.info(
            "%d items, runs of %s: %d to start, %d failed ones to run again, %d unfinished ones to adopt, %d "
            "succeeded ones to keep. All of them go on if this task is ended; when it runs again it adopts them.",
            total,
            self.trigger_dag_id,
            len(missing),
            len(failed),
            states[QUEUED] + states[RUNNING],
            states[SUCCESS],
        )
        started = sum(runs.start(child, run) for run in self._unless_killed(missing))
        again = sum(runs.restart(child, run) for run in self._unless_killed(failed))
        self.log.info("Started %d runs, and ran again what did not succeed in %d.", started, again)
        at_once = child.max_active_runs
        if at_once and at_once < total:
            self.log.info(
                "%s has max_active_runs=%d, so that many of its runs go on at once, those of others included.",
                self.trigger_dag_id,
                at_once,
            )
        if not runs.has_triggerer():
            self.log.warning(
                "No triggerer is alive, and this task goes on only when one is: start `airflow triggerer`. "
                "Its child runs don't need it."
            )

    def _unless_killed(self, these: Sequence[ChildRun]) -> Iterator[ChildRun]:
        """Give child runs until this task is to end, and then fail it.

        :raises AirflowException: before the first run that is left out.
        """
        for number, run in enumerate(these):
            if self._killed:
                raise AirflowException(
                    f"{self.task_id} was ended: {len(these) - number:,} of {len(these):,} runs of "
                    f"{self.trigger_dag_id} were left out, the first of them {run.key}. When the task runs again "
                    f"it goes on from there."
                )
            yield run

    def _wait(self, parent: Parent) -> None:
        self.defer(
            trigger=ChildRunsTrigger(
                trigger_dag_id=self.trigger_dag_id, **parent._asdict(), poll_interval=self.poll_interval
            ),
            method_name="execute_complete",
        )

    def _rows(self, context: Context, keys: Mapping[str, str]) -> list[dict[str, str]]:
        """Return a row a child run; push it first and fail if one did not succeed."""
        found = runs.states(self.trigger_dag_id, list(keys))
        rows = [
            {"key": key, "run_id": run_id, "state": found.get(run_id, "deleted")}
            for run_id, key in keys.items()
        ]
        failed = [row for row in rows if row["state"] != SUCCESS]
        if not failed:
            self.log.info("%d of %d runs of %s succeeded.", len(rows), len(rows), self.trigger_dag_id)
            return rows
        # A task that fails returns nothing, and who looks for the failed runs needs their ids.
        if self.do_xcom_push:
            context["ti"].xcom_push("return_value", rows)
        tasks = runs.failed_tasks(self.trigger_dag_id, [row["run_id"] for row in failed])
        raise AirflowException(
            f"{len(failed):,} of {len(rows):,} runs of {self.trigger_dag_id} failed:\n"
            f"{described([_result(row, tasks.get(row['run_id'], [])) for row in failed])}\n"
            f"Their run ids are in the XCom return_value of {self.task_id}. When {self.task_id} runs again, by a "
            f"retry or cleared, it runs again what did not succeed in those that failed, and leaves the others as "
            f"they are."
        )


def _parent(context: Context) -> Parent:
    instance = context["ti"]
    return Parent(instance.dag_id, instance.run_id, instance.task_id, instance.map_index)


def _materialized(items: Any) -> Sequence[Any]:
    """Replace the lazy sequence that a mapped task's output arrives as by a list."""
    is_lazy = hasattr(items, "__iter__") and not isinstance(items, list | tuple | str | bytes | dict | set)
    return list(items) if is_lazy else items


def _result(row: Mapping[str, str], tasks: Sequence[str]) -> ItemResult:
    message = f"{', '.join(tasks)} failed"
    if row["state"] != FAILED:
        message = "the run was deleted while this task waited"
    elif not tasks:
        message = "the run failed without a failed task: it timed out, or somebody marked it failed"
    return {
        "key": row["key"],
        "state": FAILED,
        "value": None,
        "error": {"type": None, "message": message},
        "tries": 1,
        "duration_s": None,
    }
