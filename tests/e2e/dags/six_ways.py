"""Everything that can become of a piece, in every shape of a plan, each collected."""

from __future__ import annotations

import os
import signal
from datetime import timedelta

import pendulum

from airflow_mapping_kit.compat import (
    AirflowSkipException,
    BaseOperator,
    dag,
    get_current_context,
    task,
    task_group,
)
from airflow_mapping_kit.fan_in import collect
from airflow_mapping_kit.labels import label

KINDS = ["ok", "skip", "fail", "none", "retry", "upstream"]
AGAIN = {"retries": 1, "retry_delay": timedelta(0)}


def become(kind):
    """Do what the piece is called."""
    if kind == "skip":
        raise AirflowSkipException("Nothing to do.")
    if kind == "fail" or (kind == "retry" and get_current_context()["ti"].try_number == 1):
        raise ValueError(f"No good: {kind}")
    if kind == "odd":
        raise ValueError("No good: \0 \ud83d")
    if kind == "kill":
        os.kill(os.getpid(), signal.SIGKILL)
    return None if kind == "none" else f"value of {kind}"


class KindOperator(BaseOperator):
    """A classic operator."""

    def __init__(self, *, kind, **kwargs):
        super().__init__(**kwargs)
        self.kind = kind

    def execute(self, context):
        return become(self.kind)


@dag(schedule=None, start_date=pendulum.datetime(2024, 1, 1))
def six_ways():
    @task
    def kinds(names):
        return [{"kind": name} for name in names]

    @task(map_index_template=label("the {kind} one"), **AGAIN)
    def work(piece):
        return become(piece["kind"])

    worked = work.expand(piece=kinds(KINDS[:-1]))
    collect(worked, tolerated_failure_count=1)

    @task(trigger_rule="all_done")
    def follow(before):
        return f"after {before}"

    # Airflow maps over what was pushed: two values of five pieces.
    collect(follow.expand(before=worked))

    @task_group
    def steps(piece):
        @task
        def first(piece):
            if piece["kind"] == "upstream":
                raise KeyError("first")
            return piece["kind"]

        @task(map_index_template=label("{kind}"), **AGAIN)
        def second(kind):
            return become(kind)

        return second(first(piece))

    collect(steps.expand(piece=kinds.override(task_id="group_kinds")(KINDS)), tolerated_failure_percentage=50)

    @task
    def crossing(kind, number):
        value = become(kind)
        return f"{value} {number}"

    # Declared in another order than sorted: the last argument changes fastest.
    collect(crossing.expand(number=[1, 2], kind=["ok", "fail"]), tolerated_failure_percentage=50)

    classic = KindOperator.partial(task_id="classic").expand(kind=["ok", "kill", "none", "odd"])
    collect(classic, tolerated_failure_count=2)

    @task
    def single(x):
        return x * 2

    collect(single.expand(x=[21]))

    def collected(name, plan, **options):
        mapped = single.override(task_id=name).expand(x=plan)
        collect(mapped, **options)

    @task
    def empty():
        return []

    @task
    def skipped():
        raise AirflowSkipException("Nothing today.")

    @task
    def failed():
        raise ValueError("No plan.")

    collected("of_nothing", empty())
    collected("of_nothing_at_all", empty.override(task_id="empty_again")(), on_empty="fail")
    collected("of_skipped", skipped(), on_empty="succeed")
    collected("of_failed", failed(), tolerated_failure_percentage=100)


six_ways()
