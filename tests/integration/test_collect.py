"""The fan-in: what it refuses, and what it makes of everything that instances can leave behind."""

from __future__ import annotations

import io
import json
import logging
import threading
import uuid
from dataclasses import dataclass
from datetime import datetime, timezone
from decimal import Decimal
from importlib.metadata import version

import duckdb
import pendulum
import pytest
from airflow.models.taskinstance import TaskInstance

from airflow_mapping_kit.compat import plain_xcoms
from airflow_mapping_kit.exceptions import FanInError
from airflow_mapping_kit.fan_in import CollectOperator, among_xcoms, collect, rows
from airflow_mapping_kit.labels import label
from airflow_mapping_kit.partitions.pieces import distinct, piece_key
from airflow_mapping_kit.plans.mapped import Mapped
from airflow_mapping_kit.redrive.wanted import redrive
from airflows import (
    AIRFLOW_3,
    DAG,
    AirflowSkipException,
    BaseOperator,
    EmptyOperator,
    TaskGroup,
    create_session,
    dag_test,
    delete_xcom,
    get_current_context,
    requests,
    run_alone,
    setup,
    store_xcom,
    task,
    task_group,
    teardown,
    xcom_of,
)


def new_dag(**options):
    return DAG(f"c{uuid.uuid4().hex}", schedule=None, start_date=pendulum.datetime(2024, 1, 1), **options)


@dataclass
class Secret:
    number: int
    at: datetime


class Model:
    pass


class Sealed(plain_xcoms()):
    """An XCom backend that keeps what can't be read without it, and gives nothing before four have asked for it."""

    used_by = (
        ("airflow.sdk.execution_time.xcom", "airflow.sdk.execution_time.task_runner")
        if AIRFLOW_3
        else ("airflow.models.xcom", "airflow.models.taskinstance")
    )
    read = []
    together = None

    @staticmethod
    def serialize_value(value, **kwargs):
        return plain_xcoms().serialize_value({"sealed": json.dumps(value)[::-1]})

    @staticmethod
    def deserialize_value(result):
        value = json.loads(plain_xcoms().deserialize_value(result)["sealed"][::-1])
        Sealed.read.append(value)
        if value in ("a", "b", "c", "d"):
            Sealed.together.wait(timeout=20)
        return value


class Returning(BaseOperator):
    def __init__(self, *, x, **kwargs):
        super().__init__(**kwargs)
        self.x = x

    def execute(self, context):
        return self.x


class Odd(Exception):
    """An exception whose text is what it was given, or fails."""

    def __str__(self):
        return self.args[0] if self.args[0] else str(1 / 0)


@task
def work(x):
    """Do what x says."""
    if x == "skip":
        raise AirflowSkipException
    if x == "fail":
        raise ValueError("no good")
    return None if x == "none" else x


@task
def plan(pieces):
    return pieces


@pytest.fixture
def collected(metadata_db):
    """Return a function that runs a DAG of `work` over a plan with a fan-in, and gives the run's end."""

    def run(pieces=("a", "b"), build=None, **options):
        with new_dag() as built:
            mapped = build() if build else work.expand(x=plan(list(pieces)))
            collect(mapped, task_id="all", **options)
        return End(built, dag_test(built))

    return run


class End:
    def __init__(self, dag, run):
        self.dag = dag
        self.run = run

    @property
    def state(self):
        return self.run.get_task_instance("all").state

    @property
    def report(self):
        return xcom_of(self.run, "all")

    def states(self):
        return [row["state"] for row in self.report["results"]]

    def set_state(self, task_id, map_index, state):
        with create_session() as session:
            session.query(TaskInstance).filter_by(
                dag_id=self.dag.dag_id, run_id=self.run.run_id, task_id=task_id, map_index=map_index
            ).update({"state": state})

    def again(self):
        """Run the fan-in alone once more; return what it raised."""
        return run_alone(self.dag, self.run.get_task_instance("all"))


class TestWhatCanBeCollected:
    @pytest.mark.parametrize(
        ("target", "said"),
        [
            (lambda: EmptyOperator(task_id="plain"), "'plain' is not mapped"),
            (lambda: plan([1]), "'plan' is not mapped"),
            (lambda: TaskGroup("together"), "task group 'together' is not mapped"),
            (lambda: work.expand(x=[1]).map(str), "made from the output of a task: pass the output itself"),
            (lambda: work.expand(x=[1]).zip(work.expand(x=[1])), "pass the output itself"),
            (lambda: work.expand(x=[1])["key"], "pass the output itself"),
            (lambda: [1, 2], r"\[1, 2\] is not mapped"),
            (lambda: None, "None is not mapped"),
        ],
    )
    def test_what_has_no_pieces_is_refused_by_name(self, target, said):
        with new_dag(), pytest.raises(FanInError, match=said):
            collect(target())

    def test_a_mapped_task_of_another_dag_is_refused(self):
        with new_dag():
            elsewhere = work.expand(x=[1])
        with new_dag() as here, pytest.raises(FanInError, match="work belongs to the DAG") as error:
            collect(elsewhere)
        assert here.dag_id in str(error.value)

    def test_a_dag_that_stops_at_the_first_failure_is_refused(self):
        option = "fail_fast" if AIRFLOW_3 else "fail_stop"
        with new_dag(**{option: True}), pytest.raises(FanInError, match=f"leave {option} out"):
            collect(work.expand(x=[1]))

    @pytest.mark.parametrize(
        ("options", "said"),
        [
            ({"trigger_rule": "all_success"}, "trigger_rule='all_success': a fan-in always waits"),
            ({"on_empty": "ignore"}, "on_empty='ignore' is unknown: choose one of skip, fail, succeed"),
            ({"tolerated_failure_count": -1}, "tolerated_failure_count=-1"),
            ({"tolerated_failure_percentage": 101}, "tolerated_failure_percentage=101"),
            ({"tolerated_failure_percentage": "many"}, "tolerated_failure_percentage='many' is not a number"),
        ],
    )
    def test_options_are_checked_when_the_dag_is_parsed(self, options, said):
        with new_dag(), pytest.raises(FanInError, match=said):
            collect(work.expand(x=[1]), **options)

    def test_a_group_cannot_be_collected_within_itself(self):
        @task_group
        def inside(x):
            collect(work(x))

        with new_dag(), pytest.raises(FanInError, match="cannot be collected within itself"):
            inside.expand(x=[1])

    def test_the_default_task_id_is_that_of_the_task_as_seen_from_the_group_at_hand(self):
        with new_dag() as built:
            collect(work.expand(x=[1]))
            with TaskGroup("eu"):
                with TaskGroup("north"):
                    north = work.expand(x=[1])
                collect(north)
                collect(work.expand(x=[1]))
            collect(north)
        ids = [t.task_id for t in built.tasks if isinstance(t, CollectOperator)]
        assert ids == ["collect_work", "eu.collect_north_work", "eu.collect_work", "collect_eu_north_work"]

    def test_further_fan_ins_of_one_task_are_numbered_as_airflow_numbers_tasks(self):
        with new_dag() as built:
            mapped = work.expand(x=[1])
        for _ in range(3):
            collect(mapped)
        ids = [t.task_id for t in built.tasks if isinstance(t, CollectOperator)]
        assert ids == ["collect_work", "collect_work__1", "collect_work__2"]
        assert {t.collected for t in built.tasks if isinstance(t, CollectOperator)} == {"work"}

    @pytest.mark.parametrize(
        ("returned", "said"),
        [
            (
                lambda inside, outside: {"a": inside, "b": outside},
                "'work' in it is no task of a mapped group",
            ),
            (
                lambda inside, outside: {"a": inside, "b": "daily"},
                "'daily' in it is no task of a mapped group",
            ),
            (lambda inside, outside: [inside["key"]], "pass the output itself"),
            (lambda inside, outside: [], "It holds tasks of no task"),
        ],
    )
    def test_what_is_not_all_of_one_mapped_group_is_refused_by_name(self, returned, said):
        @task_group
        def group(x):
            return work(x)

        with new_dag():
            inside = group.expand(x=[1])
            with pytest.raises(FanInError, match=said):
                collect(returned(inside, work("a")))

    def test_options_of_any_operator_and_a_dag_given_afterwards(self):
        with new_dag() as built:
            mapped = work.expand(x=[1])
        collect(mapped, task_id="mine", retries=3, pool="small")
        mine = built.get_task("mine")
        assert (mine.retries, mine.pool, mine.trigger_rule) == (3, "small", "all_done")
        assert mine.upstream_task_ids == {"work"}


class TestRows:
    def test_states_of_a_plain_mapped_task_with_an_instance_that_airflow_ended(self, collected):
        end = collected(["a", "skip", "fail", "none", "b", "c"], tolerated_failure_percentage=50)
        assert end.states() == ["success", "skipped", "failed", "success", "success", "success"]
        end.set_state("work", 4, "upstream_failed")
        end.set_state("work", 5, None)
        assert end.again() is None
        assert [(row["key"], row["state"], row["value"], row["error"]) for row in end.report["results"]] == [
            ("x=a", "success", "a", None),
            ("x=skip", "skipped", None, None),
            ("x=fail", "failed", None, {"type": "ValueError", "message": "no good"}),
            ("x=none", "success", None, None),
            # What an earlier try returned is no result of a piece that is upstream-failed now.
            ("x=b", "upstream_failed", None, None),
            ("x=c", "not_started", None, None),
        ]
        assert end.report["failed"] == end.report["upstream_failed"] == end.report["not_started"] == 1

    def test_removed_instances_do_not_count_and_skipped_ones_are_no_failures(self, collected):
        end = collected(["skip", "skip", "fail"], tolerated_failure_percentage=34)
        assert end.state == "success"
        store_xcom(end.run, "plan", ["skip"])
        for index in (1, 2):
            end.set_state("work", index, "removed")
        assert end.again() is None
        assert (end.report["total"], end.states()) == (1, ["skipped"])

    def test_values_stay_with_their_pieces_where_somebody_marked_instances(self, collected):
        end = collected(["a", "fail", "b", "none", "skip", "c"], tolerated_failure_percentage=100)
        end.set_state("work", 1, "success")
        end.set_state("work", 2, "failed")
        end.set_state("work", 4, "success")
        assert end.again() is None
        assert [(row["key"], row["state"], row["value"]) for row in end.report["results"]] == [
            ("x=a", "success", "a"),
            ("x=fail", "success", None),
            ("x=b", "failed", None),
            ("x=none", "success", None),
            ("x=skip", "success", None),
            ("x=c", "success", "c"),
        ]

    @pytest.mark.parametrize("lost", [(0,), (1,), (2,), (3,), (0, 1, 2, 3)])
    def test_values_stay_with_their_pieces_where_records_are_missing(self, collected, lost):
        end = collected(["a", "none", "fail", "b"], tolerated_failure_count=1)
        for index in lost:
            delete_xcom(end.run, "work", map_index=index, key="mapping_kit")
        assert end.again() is None
        assert [(row["key"], row["state"], row["value"]) for row in end.report["results"]] == [
            ("x=a", "success", "a"),
            ("x=none", "success", None),
            ("x=fail", "failed", None),
            ("x=b", "success", "b"),
        ]

    def test_values_stay_with_their_pieces_where_one_failed_with_a_value_and_one_was_marked_without(
        self, collected
    ):
        def build():
            @task
            def push(x):
                get_current_context()["ti"].xcom_push("return_value", x)
                if x == "fail":
                    raise ValueError(x)
                return x

            return push.expand(x=["a", "fail", "b"])

        end = collected(build=build, tolerated_failure_count=1)
        # Marked a success while it was at work, it would have returned nothing yet.
        delete_xcom(end.run, "push", map_index=0)
        assert end.again() is None
        assert [(row["key"], row["state"], row["value"]) for row in end.report["results"]] == [
            ("x=a", "success", None),
            ("x=fail", "failed", None),
            ("x=b", "success", "b"),
        ]

    def test_values_stay_with_their_pieces_where_the_task_has_hooks_of_its_own(self, collected):
        seen = []

        def build():
            def note(context, result=None):
                seen.append(result)

            return work.override(post_execute=note).expand(x=["none", "a", "none", "b"])

        end = collected(build=build)
        assert [row["value"] for row in end.report["results"]] == [None, "a", None, "b"]
        assert sorted(seen, key=str) == [None, None, "a", "b"]

    def test_a_run_that_timed_out_left_pieces_that_are_not_started(self, collected):
        end = collected(["a", "skip", "fail", "b", "c"], tolerated_failure_percentage=100)
        # What a run does to its instances when it times out: one waits, one is at work, one for its next try.
        with create_session() as session:
            for index in (2, 3, 4):
                session.query(TaskInstance).filter_by(
                    dag_id=end.dag.dag_id, run_id=end.run.run_id, task_id="work", map_index=index
                ).update({"state": "skipped", "end_date": None, "duration": None})
        delete_xcom(end.run, "work", map_index=4, key="mapping_kit")
        assert end.again() is None
        assert end.states() == ["success", "skipped", "not_started", "not_started", "not_started"]

    def test_the_fan_in_asks_for_as_much_of_many_pieces_as_of_few(self, collected):
        asked = []
        for pieces in (3, 30):
            end = collected([f"piece {n}" for n in range(pieces)])
            with requests() as sent:
                assert end.again() is None
            assert len(end.report["results"]) == pieces
            asked.append(len(sent))
        assert asked[0] == asked[1] > 0

    @pytest.mark.skipif(not AIRFLOW_3, reason="a task of Airflow 2 asks the database")
    def test_the_fan_in_of_a_task_takes_five_calls(self, collected):
        end = collected(["a", "fail", "none", "skip"], tolerated_failure_count=1)
        with requests() as sent:
            assert end.again() is None
        # Airflow itself asks for the report of the try before, to clear it.
        of_others = [message for message in sent if getattr(message, "task_id", None) != "all"]
        asked = [type(message).__name__ for message in of_others if type(message).__name__.startswith("Get")]
        assert sorted(asked) == [
            "GetTICount",
            "GetTaskBreadcrumbs",
            "GetXCom",
            "GetXComSequenceSlice",
            "GetXComSequenceSlice",
        ]

    def test_equal_pieces_are_told_apart(self, collected):
        end = collected([1, 1, 2])
        assert [(row["key"], row["value"]) for row in end.report["results"]] == [
            ("x=1", 1),
            ("x=1#2", 1),
            ("x=2", 2),
        ]

    def test_values_are_plain_json_whatever_they_were_where_they_came_from(self, collected):
        def build():
            @task
            def odd(x):
                import pandas as pd

                return {
                    "date": {"at": datetime(2024, 1, 2, tzinfo=timezone.utc), "of": (1, Decimal("1.25"))},
                    "set": {3, 1, 2},
                    "nan": float("nan"),
                    "frame": pd.DataFrame({"a": [1.5, None], "b": ["x", None]}),
                    "class": [Secret(7, datetime(2024, 1, 2, tzinfo=timezone.utc))],
                    "nul": "a\0b",
                }[x]

            # Airflow 2 takes no data frames of pandas 3.
            frames = ["frame"] if AIRFLOW_3 or version("pandas") < "3" else []
            return odd.expand(x=["date", "set", "nan", "class", "nul", *frames])

        end = collected(build=build)
        values = [row["value"] for row in end.report["results"]]
        assert values[:5] == [
            {"at": "2024-01-02T00:00:00+00:00", "of": [1, "1.25"]},
            [1, 2, 3],
            None,
            # Airflow writes the class, and refuses to make an object of it again.
            [{"number": 7, "at": "2024-01-02T00:00:00+00:00"}],
            "a\ufffdb",
        ]
        assert values[5:] in ([], [[{"a": 1.5, "b": "x"}, {"a": None, "b": None}]])

    def test_values_of_which_no_json_can_be_made_are_null_and_the_log_names_their_types(
        self, collected, monkeypatch, caplog
    ):
        if AIRFLOW_3:
            pytest.skip("XComs can be pickled before Airflow 3 alone")
        monkeypatch.setenv("AIRFLOW__CORE__ENABLE_XCOM_PICKLING", "True")

        def build():
            @task
            def model(x):
                itself = [x]
                itself.append(itself)
                return {1: {"model": Model(), "loss": x}, 2: x, 3: itself}[x]

            return model.expand(x=[1, 2, 3])

        end = collected(build=build)
        assert (end.state, [row["value"] for row in end.report["results"]]) == (
            "success",
            [{"model": None, "loss": 1}, 2, None],
        )
        assert "are null in the report: Model, list (RecursionError)" in caplog.text

    def test_a_backend_of_the_deployments_own_is_read_many_at_a_time_and_for_values_alone(
        self, collected, monkeypatch
    ):
        Sealed.read, Sealed.together = [], threading.Barrier(4)
        for module in Sealed.used_by:
            monkeypatch.setattr(f"{module}.XCom", Sealed)
        end = collected(["a", "fail", "b", "none", "c", "d"], tolerated_failure_count=1)
        Sealed.read.clear()
        assert end.again() is None
        assert [row["value"] for row in end.report["results"]] == ["a", None, "b", None, "c", "d"]
        assert end.report["results"][1]["error"] == {"type": "ValueError", "message": "no good"}
        # What four pieces returned, at once; the plan; and what this test itself has just read.
        assert sorted(map(str, Sealed.read)) == sorted(
            map(str, ["a", "b", "c", "d", ["a", "fail", "b", "none", "c", "d"], *[end.report] * 2])
        )

    @pytest.mark.parametrize("shape", ["task", "batched", "group", "classic"])
    def test_what_a_function_of_the_authors_gives_is_known_as_the_instances_saw_it(self, collected, shape):
        def build():
            @task.batched
            def each(x):
                return x

            @task_group
            def group(x):
                return work(work.override(task_id="before")(x))

            def with_id(key):
                if key == "skip":
                    raise AirflowSkipException
                one = {"key": key, "id": uuid.uuid4().hex}
                if shape == "classic":
                    return {"x": one}
                return [one, one] if shape == "batched" else one

            pieces = plan(["a.csv", "skip", "b.csv"]).map(with_id)
            if shape == "classic":
                return Returning.partial(task_id="classic").expand_kwargs(pieces)
            return {"task": work, "batched": each, "group": group}[shape].expand(x=pieces)

        end = collected(build=build)
        assert end.state == "success"
        skipped, *found = sorted(end.report["results"], key=lambda row: row["state"] == "success")
        assert skipped["state"] == "skipped"
        keys = [f"id={row['value']['id']}/key={row['value']['key']}" for row in found]
        assert [row["key"] for row in found] == distinct(keys)
        assert [row["value"]["key"] for row in found] == [
            name for name in ("a.csv", "b.csv") for _ in range(1 + (shape == "batched"))
        ]
        # That there are others, or fewer, is seen all the same.
        store_xcom(end.run, "plan", ["a.csv", "skip"])
        assert "the plan has nothing" in str(end.again())

    @pytest.mark.parametrize("entries", [False, True])
    def test_what_tasks_returned_within_literals_is_what_pieces_are_called(self, collected, entries):
        def build():
            @task
            def two():
                return ["p", "q"]

            @task
            def nothing(x): ...

            values = [
                plan(["EWR"]),
                plan.override(task_id="second")({"to": "JFK"}),
                {"a": two(), "b": "{{ 'r' }}"},
            ]
            if entries:
                # Airflow hands its tasks the references themselves.
                return nothing.expand_kwargs([{"x": value} for value in values])
            return work.expand(x=values)

        end = collected(build=build)
        nested = {"a": ["p", "q"], "b": "r"}
        keys = ["x=EWR", "to=JFK", piece_key({"x": nested})]
        assert [row["key"] for row in end.report["results"]] == keys
        if not entries:
            assert [row["value"] for row in end.report["results"]] == [["EWR"], {"to": "JFK"}, nested]

    def test_a_template_in_a_literal_is_known_as_the_instance_saw_it(self, collected):
        end = collected(build=lambda: work.expand(x=["{{ dag.dag_id[:1] }}{{ 1 + 1 }}", "{plain}"]))
        assert [(row["key"], row["value"]) for row in end.report["results"]] == [
            ("x=c2", "c2"),
            ("x=%7Bplain}", "{plain}"),
        ]

    @pytest.mark.skipif(not AIRFLOW_3, reason="of runs from before an upgrade to Airflow 3")
    def test_what_airflow_2_recorded_of_an_instance_does_not_say_where_it_is_from(self, collected):
        end = collected(["a", "b"])
        store_xcom(
            end.run, "work", {"key": "x=a", "label": None, "try_number": 1}, key="mapping_kit", map_index=0
        )
        assert end.again() is None
        assert [(row["key"], row["state"]) for row in end.report["results"]] == [
            ("x=a", "success"),
            ("x=b", "success"),
        ]

    def test_a_log_that_somebody_has_closed_costs_no_instance_its_record(self, collected):
        closed = io.TextIOWrapper(io.BytesIO())
        handler = logging.StreamHandler(closed)
        closed.close()
        root = logging.getLogger()
        # First, so that what comes after it is there to be looked at too. Nothing is logged to it.
        handler.setLevel(logging.CRITICAL + 1)
        root.handlers.insert(0, handler)
        try:
            end = collected(build=lambda: work.expand(x=["{{ 1 + 1 }}"]))
        finally:
            root.removeHandler(handler)
        assert [row["key"] for row in end.report["results"]] == ["x=2"]

    def test_a_strangers_template_in_an_xcom_is_never_rendered(self, collected):
        @task
        def strangers():
            return ["{{ 1 + 1 }}"]

        end = collected(build=lambda: work.expand(x=strangers()))
        (row,) = end.report["results"]
        assert row["value"] == "{{ 1 + 1 }}"
        assert row["key"].startswith("x=%7B%7B 1 + 1")

    def test_a_group_without_a_returned_task_has_no_values_and_the_states_of_all_its_tasks(self, collected):
        def build():
            @task_group
            def group(x):
                with TaskGroup("nested"):
                    work.override(task_id="first")(x)
                work.override(task_id="other")("fine")

            return group.expand(x=plan(["a", "fail", "skip"]))

        end = collected(build=build, tolerated_failure_count=1)
        assert set(end.dag.get_task("all").upstream_task_ids) == {"group.nested.first", "group.other"}
        # One end of the group was skipped, the other one was not.
        assert end.states() == ["success", "failed", "success"]
        assert {row["value"] for row in end.report["results"]} == {None}

    @pytest.mark.parametrize("shape", [dict, list])
    def test_a_group_that_returns_a_dict_or_a_list_has_values_like_it(self, collected, shape):
        def build():
            @task
            def twice(x):
                return x * 2

            @task_group
            def group(x):
                once, doubled = work(x), twice(x)
                return {"once": once, "more": [doubled]} if shape is dict else [once, doubled]

            return group.expand(x=["a", "fail", "none"])

        end = collected(build=build, tolerated_failure_count=1)
        values = [
            {"once": "a", "more": ["aa"]},
            None,
            {"once": None, "more": ["nonenone"]},
        ]
        if shape is list:
            values = [["a", "aa"], None, [None, "nonenone"]]
        assert [(row["key"], row["state"], row["value"]) for row in end.report["results"]] == [
            ("x=a", "success", values[0]),
            ("x=fail", "failed", None),
            ("x=none", "success", values[2]),
        ]

    def test_items_of_a_group_that_returns_a_dict_have_their_own_values_in_it(self, collected):
        def build():
            @task.batched
            def ship(x):
                return 60 // x

            @task(trigger_rule="all_done")
            def count(x):
                return len(x)

            @task_group
            def group(x):
                return {"shipped": ship(x), "of": count(x)}

            return group.expand(x=plan([[1, 2], [0, 4]]))

        end = collected(build=build, tolerated_failure_count=1)
        assert [(row["key"], row["state"], row["value"]) for row in end.report["results"]] == [
            ("x=1", "success", {"shipped": 60, "of": 2}),
            ("x=2", "success", {"shipped": 30, "of": 2}),
            ("x=0", "failed", None),
            ("x=4", "success", {"shipped": 15, "of": 2}),
        ]

    @pytest.mark.parametrize("fails_the_run", [False, True])
    def test_a_teardown_within_a_group_counts_where_it_may_fail_a_run_and_a_setup_always(
        self, collected, fails_the_run
    ):
        def build():
            @setup
            def cluster(x):
                return work.function("fail" if x == "no cluster" else x)

            @teardown(on_failure_fail_dagrun=fails_the_run)
            def delete(x):
                raise RuntimeError(f"{x} is still there")

            @task_group
            def group(x):
                begun, worked = cluster(x), work(x)
                begun >> worked >> delete(begun)
                return worked

            return group.expand(x=["a", "fail", "no cluster"])

        end = collected(build=build, tolerated_failure_percentage=100)
        awaited = end.dag.get_task("all").upstream_task_ids
        assert awaited == {"group.work", *(["group.delete"] if fails_the_run else [])}
        found = [
            (row["state"], row["value"], row["error"] and row["error"]["message"])
            for row in end.report["results"]
        ]
        again = redrive(
            [Mapped.collected_by(end.dag.get_task("all"))], end.run.run_id, run_state="failed"
        ).pieces
        tasks = ["group.cluster", "group.work", "group.delete"]
        for index, ran_again in enumerate([fails_the_run, True, True]):
            names = [one.task_id for one in again if one.map_index == index]
            # That of the first piece has nothing to do again but to be torn down, where that counts.
            assert names == (tasks if index else ["group.delete"] * ran_again)
        still_there = ("failed", None, "a is still there")
        assert found == [
            still_there if fails_the_run else ("success", "a", None),
            ("failed", None, "no good"),
            ("failed", None, "no good"),
        ]

    def test_what_an_instance_is_set_up_by_runs_again_with_it(self, collected):
        def build():
            @setup
            def cluster(): ...

            @teardown
            def delete(): ...

            mapped = work.expand(x=["a", "fail"])
            cluster() >> mapped >> delete()
            return mapped

        end = collected(build=build)
        again = redrive([Mapped.of(end.dag.get_task("work"))], end.run.run_id, run_state="failed")
        assert {(one.task_id, one.map_index) for one in again.everything} == {
            ("cluster", -1),
            ("work", 1),
            ("delete", -1),
            ("all", -1),
        }

    def test_a_branch_within_a_group_is_no_skipped_piece(self, collected):
        def build():
            @task.branch
            def choose(x):
                return f"group.{x}"

            @task(trigger_rule="none_failed_min_one_success")
            def join(x):
                return f"joined {x}"

            @task_group
            def group(x):
                ways = [EmptyOperator(task_id="left"), EmptyOperator(task_id="right")]
                joined = join(x)
                choose(x) >> ways >> joined
                return joined

            return group.expand(x=["left", "right"])

        end = collected(build=build)
        assert [(row["state"], row["value"]) for row in end.report["results"]] == [
            ("success", "joined left"),
            ("success", "joined right"),
        ]

    def test_a_retry_that_succeeds_leaves_no_error(self, collected):
        def build():
            @task(retries=1, retry_delay=pendulum.duration(seconds=0), map_index_template=label("try {x}"))
            def second_time(x):
                if get_current_context()["ti"].try_number == 1:
                    raise ValueError("the first time")
                return x

            return second_time.expand(x=[1])

        end = collected(build=build)
        (row,) = end.report["results"]
        assert (row["state"], row["error"], row["try_number"], row["label"]) == ("success", None, 2, "try 1")

    def test_an_exception_that_cannot_be_printed_is_told_by_its_type(self, collected):
        def build():
            @task
            def odd(x):
                raise {"dict": Odd({"a": 1}), "raises": Odd(None), "lone": ValueError("\ud800\0")}[x]

            return odd.expand(x=["dict", "raises", "lone"])

        errors = [row["error"] for row in collected(build=build, tolerated_failure_count=3).report["results"]]
        assert [error["type"] for error in errors] == ["Odd", "Odd", "ValueError"]
        assert "its text can't be had: TypeError" in errors[0]["message"]
        assert "its text can't be had: ZeroDivisionError" in errors[1]["message"]
        assert errors[2]["message"] == "\\ud800\\x00"

    def test_an_error_is_kept_up_to_two_kilobytes(self, collected):
        def build():
            @task
            def long(x):
                raise RuntimeError("é" * 5000)

            return long.expand(x=[1])

        (row,) = collected(build=build, tolerated_failure_count=1).report["results"]
        assert 2000 < len(row["error"]["message"].encode()) <= 2048
        assert row["error"]["type"] == "RuntimeError"


class TestTolerance:
    def test_a_failure_over_the_limit_fails_without_retries_and_keeps_the_report(self, collected, caplog):
        end = collected(["a", "fail", "fail"], tolerated_failure_count=1, retries=3)
        assert end.state == "failed"
        assert end.report["failed"] == 2
        assert "2 of 3 pieces failed, at most 1 tolerated" in caplog.text
        assert "2 × ValueError: no good (x: fail 2)" in caplog.text

    @pytest.mark.parametrize(("tolerated", "state"), [(33, "failed"), (34, "success"), (100, "success")])
    def test_a_percentage_is_strict(self, collected, tolerated, state):
        assert collected(["a", "b", "fail"], tolerated_failure_percentage=tolerated).state == state

    def test_a_template_that_gives_no_number_fails_by_name(self, collected, caplog):
        end = collected(["a"], tolerated_failure_count="{{ 'many' }}")
        assert end.state == "failed"
        assert "tolerated_failure_count='many' is not a number" in caplog.text


COUNTS = {"total": 2, "succeeded": 1, "failed": 1, "skipped": 0, "upstream_failed": 0, "not_started": 0}


class TestResultsThatAreTooLarge:
    @pytest.fixture(autouse=True)
    def small(self, monkeypatch):
        monkeypatch.setenv("AIRFLOW__MAPPING_KIT__MAX_RESULT_KB", "1")

    def test_stay_among_airflows_xcoms_where_there_is_no_storage(self, collected):
        end = collected(["a" * 100_000, "fail", "b" * 100_000])
        assert end.state == "failed"
        report = end.report
        assert {name: report[name] for name in COUNTS} == {**COUNTS, "total": 3, "succeeded": 2}
        assert report["errors"] == [["ValueError: no good", 1]]
        assert [row["key"] for row in report["failures"]] == ["x=fail"]
        assert "results" not in report
        # In more than one XCom, each of a bounded size.
        assert report["parts"]["own"] == 2
        found = list(rows(report))
        assert [(row["key"], row["map_index"], row["state"]) for row in found[:2]] == [
            (piece_key({"x": "a" * 100_000}), 0, "success"),
            ("x=fail", 1, "failed"),
        ]
        assert [row["value"] for row in found] == ["a" * 100_000, None, "b" * 100_000]
        assert found[1]["error"] == {"type": "ValueError", "message": "no good"}

    def test_are_read_by_a_task_after_the_fan_in(self, metadata_db):
        @task
        def count(report):
            return sum(row["state"] == "success" for row in rows(report))

        with new_dag() as built:
            count(collect(work.expand(x=plan(["a" * 2000, "b"])), task_id="all"))
        run = dag_test(built)
        assert "parts" in xcom_of(run, "all")
        assert xcom_of(run, "count") == 2

    def test_that_no_database_should_hold_are_refused_after_what_failed_is_said(self, collected, monkeypatch):
        monkeypatch.setattr(among_xcoms, "_MOST_BYTES", 1000)
        end = collected(["a" * 2000, "fail"])
        assert end.state == "failed"
        error = str(end.again())
        failed = error.index("1 of 2 pieces failed, none tolerated:\n1 × ValueError: no good\n  x=fail")
        assert failed < error.index("too much for Airflow's XComs") < error.index("[mapping_kit] storage =")
        assert "collect(..., values=False)" in error
        assert {name: end.report[name] for name in COUNTS} == COUNTS
        assert [row["key"] for row in end.report["failures"]] == ["x=fail"]
        with pytest.raises(FanInError, match="The report has no rows"):
            next(rows(end.report))

    def test_go_to_storage_with_a_manifest_that_other_programs_read(self, collected, monkeypatch, tmp_path):
        monkeypatch.setenv("AIRFLOW__MAPPING_KIT__STORAGE", f"{tmp_path}/of all/")
        end = collected(["a" * 2000, "fail"], tolerated_failure_count=1)
        home = tmp_path / "of all" / end.dag.dag_id / end.run.run_id / "all"
        report = end.report
        assert {name: report[name] for name in COUNTS} == COUNTS
        assert (report["written_to"], report["failed_in"]) == (
            f"{home}/manifest.json",
            f"{home}/failed.jsonl",
        )
        assert [(row["key"], row["value"]) for row in rows(report)] == [
            (piece_key({"x": "a" * 2000}), "a" * 2000),
            ("x=fail", None),
        ]
        manifest = json.loads((home / "manifest.json").read_text())
        assert manifest["files"] == [f"{home}/rows.jsonl"]
        read = duckdb.sql(f"SELECT map_index, state, length(value) FROM read_json({manifest['files']})")
        assert read.fetchall() == [(0, "success", 2000), (1, "failed", None)]
        failed = duckdb.sql(f"SELECT key, error.message FROM read_json('{manifest['failed_in']}')")
        assert failed.fetchall() == [("x=fail", "no good")]

        # What is healed leaves nothing behind that says otherwise.
        end.set_state("work", 1, "success")
        assert end.again() is None
        assert "failed_in" not in end.report
        assert sorted(one.name for one in home.iterdir()) == ["manifest.json", "rows.jsonl"]

    def test_go_beside_the_xcoms_that_a_deployment_keeps_in_object_storage(
        self, collected, monkeypatch, tmp_path
    ):
        monkeypatch.setenv("AIRFLOW__COMMON_IO__XCOM_OBJECTSTORAGE_PATH", f"file://{tmp_path}/xcoms")
        end = collected(["a" * 2000])
        home = tmp_path / "xcoms" / "mapping_kit" / end.dag.dag_id / end.run.run_id / "all"
        assert (end.state, end.report["written_to"]) == ("success", f"file://{home}/manifest.json")
        assert [row["value"] for row in rows(end.report)] == ["a" * 2000]

    def test_in_storage_are_read_by_the_connection_that_wrote_them(
        self, collected, monkeypatch, s3_conn, s3_bucket, s3_client
    ):
        monkeypatch.setenv("AIRFLOW__MAPPING_KIT__STORAGE", f"s3://{s3_conn}@{s3_bucket}/kit")
        end = collected(["a" * 2000])
        place = f"kit/{end.dag.dag_id}/{end.run.run_id}/all"
        assert end.report["written_to"] == f"s3://{s3_conn}@{s3_bucket}/{place}/manifest.json"
        body = s3_client.get_object(Bucket=s3_bucket, Key=f"{place}/manifest.json")["Body"].read()
        assert json.loads(body)["files"] == [f"s3://{s3_bucket}/{place}/rows.jsonl"]
        assert [row["value"] for row in rows(end.report)] == ["a" * 2000]

    def test_can_do_without_what_the_pieces_returned(self, collected):
        @task
        def large(x):
            return "a" * 2000

        end = collected(build=lambda: large.expand(x=[1, 2]), values=False)
        (first, second) = rows(end.report)
        assert (first["key"], second["key"], end.report["succeeded"]) == ("x=1", "x=2", 2)
        assert "value" not in {*first, *second}

    def test_are_written_to_a_file_that_is_replaced_at_once(self, collected, tmp_path):
        path = tmp_path / "new" / "rows.jsonl"
        end = collected(["a" * 2000, "fail"], write_to=str(path), tolerated_failure_count=1)
        assert {**end.report, "failures": []} == {
            **COUNTS,
            "errors": [["ValueError: no good", 1]],
            "failures": [],
            "written_to": str(path),
        }
        found = [json.loads(line) for line in path.read_text().splitlines()]
        assert [(row["map_index"], row["state"]) for row in found] == [(0, "success"), (1, "failed")]
        assert [found.name for found in path.parent.iterdir()] == ["rows.jsonl"]

    def test_go_to_object_storage(self, collected, s3_conn, s3_bucket, s3_client):
        end = collected(
            ["a", "none"], write_to=f"s3://{s3_conn}@{s3_bucket}/reports/{{{{ dag.dag_id }}}}.jsonl"
        )
        assert end.state == "success"
        body = s3_client.get_object(Bucket=s3_bucket, Key=f"reports/{end.dag.dag_id}.jsonl")["Body"].read()
        assert [json.loads(line)["value"] for line in body.splitlines()] == ["a", None]
        assert [row["value"] for row in rows(end.report)] == ["a", None]

    def test_that_cannot_be_written_are_not_lost(self, collected, tmp_path, caplog):
        (tmp_path / "in the way").write_text("a file")
        path = tmp_path / "in the way" / "rows.jsonl"
        end = collected(["a", "b"], write_to=str(path))
        assert end.state == "failed"
        assert f"could not be written to {path}" in caplog.text
        assert "No result is lost" in caplog.text

        (tmp_path / "in the way").unlink()
        assert end.again() is None
        assert [json.loads(line)["value"] for line in path.read_text().splitlines()] == ["a", "b"]

    @pytest.mark.parametrize(
        "path",
        [
            "s3://bucket/folder/",
            "nowhere://bucket/rows.jsonl",
            " ",
            "/tmp",
            "file:///tmp",
            "reports/rows.jsonl",
        ],
    )
    def test_no_place_for_them_is_refused_after_what_failed_is_said(self, collected, caplog, path):
        end = collected(["a", "fail"], write_to=path, retries=2)
        assert end.state == "failed"
        error = str(end.again())
        assert error.index("1 of 2 pieces failed") < error.index(f"write_to={path!r} ")
        # As they fit into an XCom, they are there meanwhile.
        assert [row["value"] for row in rows(end.report)] == ["a", None]


class TestThePlan:
    def test_that_cannot_be_read_any_more_names_the_generator(self, collected):
        end = collected()
        delete_xcom(end.run, "plan")
        error = end.again()
        assert "The plan of work cannot be read any more: plan has no XCom 'return_value'" in str(error)
        assert "Clear plan with everything downstream" in str(error)

    def test_that_became_empty_is_empty(self, collected):
        end = collected(on_empty="succeed")
        for index in (0, 1):
            end.set_state("work", index, "removed")
        assert end.again() is None
        assert end.report["total"] == 0

    def test_that_has_moved_is_refused_and_only_the_first_five_are_shown(self, collected):
        end = collected([f"n{n}" for n in range(8)])
        store_xcom(end.run, "plan", [f"m{n}" for n in range(8)])
        error = str(end.again())
        assert "[0] worked on x=n0, the plan has x=m0; [1]" in error
        assert "[5]" not in error
        assert "and 3 more" in error

    @pytest.mark.parametrize(
        ("on_empty", "state"), [("skip", "skipped"), ("fail", "failed"), ("succeed", "success")]
    )
    def test_that_is_empty_follows_on_empty(self, collected, on_empty, state):
        end = collected([], on_empty=on_empty)
        assert end.state == state
        assert (end.report or {}).get("total") == (0 if state == "success" else None)
