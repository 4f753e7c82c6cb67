"""The fan-in: what it refuses, and what it makes of everything that instances can leave behind."""

from __future__ import annotations

import contextlib
import json
import uuid
from datetime import datetime, timezone

import pendulum
import pytest
from airflow import settings
from airflow.models.taskinstance import TaskInstance
from sqlalchemy import event

from airflow_mapping_kit.exceptions import FanInError
from airflow_mapping_kit.fan_in import CollectOperator, collect
from airflow_mapping_kit.labels import label
from airflows import (
    AIRFLOW_3,
    DAG,
    AirflowSkipException,
    EmptyOperator,
    TaskGroup,
    create_session,
    dag_test,
    delete_xcom,
    get_current_context,
    run_alone,
    store_xcom,
    task,
    task_group,
    xcom_of,
)


def new_dag(**options):
    return DAG(f"c{uuid.uuid4().hex}", schedule=None, start_date=pendulum.datetime(2024, 1, 1), **options)


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


@contextlib.contextmanager
def requests():
    """Give what is asked for meanwhile: statements of the database, on Airflow 3 what a task asks its supervisor."""
    sent = []
    if AIRFLOW_3:
        from airflow.sdk.execution_time.supervisor import InProcessSupervisorComms

        send = InProcessSupervisorComms.send

        def noted(comms, msg):
            sent.append(msg)
            return send(comms, msg)

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(InProcessSupervisorComms, "send", noted)
            yield sent
        return

    def note(connection, cursor, statement, *_):
        sent.append(statement)

    event.listen(settings.engine, "before_cursor_execute", note)
    try:
        yield sent
    finally:
        event.remove(settings.engine, "before_cursor_execute", note)


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
            ({"tolerated_failure_percentage": "many"}, "tolerated_failure_percentage='many' is no number"),
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

    def test_the_default_task_id_is_that_of_the_task_within_the_group_at_hand(self):
        with new_dag() as built:
            collect(work.expand(x=[1]))
            with TaskGroup("tg"):
                collect(work.expand(x=[1]))
        ids = {t.task_id for t in built.tasks if isinstance(t, CollectOperator)}
        assert ids == {"collect_work", "tg.collect_work"}

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

    def test_equal_pieces_are_told_apart_and_values_keep_their_types(self, collected):
        def build():
            @task
            def moment(x):
                return {"at": datetime(2024, 1, x, tzinfo=timezone.utc), "of": [x]}

            return moment.expand(x=[1, 1, 2])

        end = collected(build=build)
        assert [row["key"] for row in end.report["results"]] == ["x=1", "x=1#2", "x=2"]
        assert end.report["results"][2]["value"]["at"] == datetime(2024, 1, 2, tzinfo=timezone.utc)

    def test_a_template_in_a_literal_is_known_as_the_instance_saw_it(self, collected):
        end = collected(build=lambda: work.expand(x=["{{ dag.dag_id[:1] }}{{ 1 + 1 }}", "{plain}"]))
        assert [(row["key"], row["value"]) for row in end.report["results"]] == [
            ("x=c2", "c2"),
            ("x=%7Bplain}", "{plain}"),
        ]

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
        assert "tolerated_failure_count='many' is no number" in caplog.text


class TestResultsThatAreTooLarge:
    def test_are_refused_and_write_to_is_named(self, collected, caplog, monkeypatch):
        monkeypatch.setenv("AIRFLOW__MAPPING_KIT__MAX_RESULT_KB", "1")
        end = collected(["a" * 2000])
        assert end.state == "failed"
        assert "too much for an XCom ([mapping_kit] max_result_kb = 1)" in caplog.text
        assert "collect(..., write_to=" in caplog.text

    def test_are_written_to_a_file_that_is_replaced_at_once(self, collected, tmp_path, monkeypatch):
        monkeypatch.setenv("AIRFLOW__MAPPING_KIT__MAX_RESULT_KB", "1")
        path = tmp_path / "new" / "rows.jsonl"
        end = collected(["a" * 2000, "fail"], write_to=str(path), tolerated_failure_count=1)
        assert end.report == {
            "total": 2,
            "succeeded": 1,
            "failed": 1,
            "skipped": 0,
            "upstream_failed": 0,
            "not_started": 0,
            "written_to": str(path),
        }
        rows = [json.loads(line) for line in path.read_text().splitlines()]
        assert [(row["map_index"], row["state"]) for row in rows] == [(0, "success"), (1, "failed")]
        assert [found.name for found in path.parent.iterdir()] == ["rows.jsonl"]

    def test_go_to_object_storage(self, collected, s3_conn, s3_bucket, s3_client):
        end = collected(
            ["a", "none"], write_to=f"s3://{s3_conn}@{s3_bucket}/reports/{{{{ dag.dag_id }}}}.jsonl"
        )
        assert end.state == "success"
        body = s3_client.get_object(Bucket=s3_bucket, Key=f"reports/{end.dag.dag_id}.jsonl")["Body"].read()
        assert [json.loads(line)["value"] for line in body.splitlines()] == ["a", None]

    def test_that_cannot_be_written_are_not_lost(self, collected, tmp_path, caplog):
        (tmp_path / "in the way").write_text("a file")
        path = tmp_path / "in the way" / "rows.jsonl"
        end = collected(["a", "b"], write_to=str(path))
        assert end.state == "failed"
        assert f"could not be written to {path}" in caplog.text
        assert "None is lost" in caplog.text

        (tmp_path / "in the way").unlink()
        assert end.again() is None
        assert [json.loads(line)["value"] for line in path.read_text().splitlines()] == ["a", "b"]

    @pytest.mark.parametrize("path", ["s3://bucket/folder/", "nowhere://bucket/rows.jsonl", " "])
    def test_no_place_for_them_is_refused_before_any_work(self, collected, caplog, path):
        end = collected(["a"], write_to=path)
        assert end.state == "failed"
        assert f"write_to={path!r} " in caplog.text


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
