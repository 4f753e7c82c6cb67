"""What the fan-in says of every piece, on a real scheduler."""

from __future__ import annotations

import json

import pytest

from stack.airflow import AIRFLOW_3

OK = ("success", None)


@pytest.fixture(scope="module")
def six_ways(stack):
    """Run the DAG with every shape once; return its states by task, and its reports."""
    airflow = stack.airflow
    airflow.wait_for_dag("six_ways")
    airflow.unpause("six_ways")
    run_id = airflow.trigger("six_ways")
    assert airflow.wait("six_ways", run_id, seconds=300) == "failed"  # the generator that failed
    return Run(airflow, "six_ways", run_id)


class Run:
    def __init__(self, airflow, dag_id, run_id):
        self.airflow = airflow
        self.dag_id = dag_id
        self.run_id = run_id

    def state(self, task_id):
        (instance,) = self.airflow.instances(self.dag_id, self.run_id, task_id)
        return instance["state"]

    def report(self, task_id):
        return self.airflow.xcom(self.dag_id, self.run_id, task_id)

    def rows(self, task_id):
        """Return the rows as (key, label, state, try number, value, error type, error message)."""
        report = self.report(task_id)
        assert [row["map_index"] for row in report["results"]] == list(range(report["total"]))
        return [
            (
                row["key"],
                row["label"],
                row["state"],
                row["try_number"],
                row["value"],
                *(row["error"] or {"type": None, "message": None}).values(),
            )
            for row in report["results"]
        ]

    def log(self, task_id):
        return self.airflow.log(self.dag_id, self.run_id, task_id)


@pytest.mark.versions
def test_a_mapped_task_has_a_row_for_what_succeeded_was_skipped_failed_returned_none_or_was_retried(six_ways):
    assert six_ways.rows("collect_work") == [
        ("kind=ok", "the ok one", "success", 1, "value of ok", None, None),
        ("kind=skip", "the skip one", "skipped", 1, None, None, None),
        ("kind=fail", "the fail one", "failed", 2, None, "ValueError", "No good: fail"),
        ("kind=none", "the none one", "success", 1, None, None, None),
        ("kind=retry", "the retry one", "success", 2, "value of retry", None, None),
    ]
    report = six_ways.report("collect_work")
    assert {name: report[name] for name in report if name != "results"} == {
        "total": 5,
        "succeeded": 3,
        "failed": 1,
        "skipped": 1,
        "upstream_failed": 0,
        "not_started": 0,
    }
    assert all(row["duration_s"] > 0 for row in report["results"])
    assert "1 of 5 pieces failed, at most 1 tolerated" in six_ways.log("collect_work")


@pytest.mark.versions
def test_a_mapped_group_has_the_worst_state_of_its_tasks_and_the_value_of_the_returned_one(six_ways):
    assert six_ways.rows("collect_steps") == [
        ("kind=ok", "ok", "success", 1, "value of ok", None, None),
        ("kind=skip", "skip", "skipped", 1, None, None, None),
        ("kind=fail", "fail", "failed", 2, None, "ValueError", "No good: fail"),
        ("kind=none", "none", "success", 1, None, None, None),
        ("kind=retry", "retry", "success", 2, "value of retry", None, None),
        ("kind=upstream", "upstream", "failed", 1, None, "KeyError", "'first'"),
    ]
    assert six_ways.state("collect_steps") == "success"


@pytest.mark.versions
def test_a_chained_map_is_accounted_for_by_what_airflow_mapped_over(six_ways):
    assert six_ways.rows("collect_follow") == [
        (
            f"before=value of {kind}",
            f"before=value of {kind}",
            "success",
            1,
            f"after value of {kind}",
            None,
            None,
        )
        for kind in ("ok", "retry")
    ]


@pytest.mark.versions
def test_a_cross_product_keeps_the_order_of_its_arguments(six_ways):
    error = ("ValueError", "No good: fail")
    assert six_ways.rows("collect_crossing") == [
        ("kind=ok/number=1", "kind=ok/number=1", "success", 1, "value of ok 1", None, None),
        ("kind=fail/number=1", "kind=fail/number=1", "failed", 1, None, *error),
        ("kind=ok/number=2", "kind=ok/number=2", "success", 1, "value of ok 2", None, None),
        ("kind=fail/number=2", "kind=fail/number=2", "failed", 1, None, *error),
    ]


@pytest.mark.versions
def test_a_classic_operator_an_instance_that_was_killed_and_an_error_that_neither_database_nor_log_can_hold(
    six_ways,
):
    ok, killed, none, odd = six_ways.rows("collect_classic")
    assert ok == ("kind=ok", "kind=ok", "success", 1, "value of ok", None, None)
    assert none == ("kind=none", "kind=none", "success", 1, None, None, None)
    assert killed == ("kind=kill", "kind=kill", "failed", 1, None, None, "no exception recorded")
    assert odd == ("kind=odd", "kind=odd", "failed", 1, None, "ValueError", r"No good: \x00 \ud83d")


@pytest.mark.versions
def test_one_piece_none_and_a_generator_that_was_skipped_or_failed(six_ways):
    assert six_ways.rows("collect_single") == [("x=21", "x=21", "success", 1, 42, None, None)]
    assert six_ways.state("collect_of_nothing") == "skipped"
    assert six_ways.state("collect_of_nothing_at_all") == "failed"
    assert "collect_of_nothing_at_all has nothing to collect: the plan is empty" in six_ways.log(
        "collect_of_nothing_at_all"
    )
    assert six_ways.state("collect_of_skipped") == "success"
    assert six_ways.report("collect_of_skipped")["total"] == 0
    assert six_ways.state("collect_of_failed") == "failed"
    assert "of_failed was never expanded, so there are no pieces: because before it failed failed" in (
        six_ways.log("collect_of_failed")
    )


def test_without_the_listener_rows_are_right_and_only_errors_have_no_text(stack):
    run = Run(stack.airflow, "without_listener", stack.run("without_listener"))
    assert run.rows("collect_work") == [
        ("kind=ok", "kind=ok", "success", 1, "ok", None, None),
        ("kind=skip", "kind=skip", "skipped", 1, None, None, None),
        ("kind=fail", "kind=fail", "failed", 1, None, None, "no exception recorded"),
        ("kind=none", "kind=none", "success", 1, None, None, None),
    ]


def test_records_that_the_database_refuses_fail_no_task_and_leave_one_warning(stack):
    run = Run(stack.airflow, "broken_listener", stack.run("broken_listener"))
    assert run.rows("collect_divide") == [
        ("x=5", "divisor 5", "success", 1, 2, None, None),
        ("x=0", "divisor 0", "failed", 1, None, None, "no exception recorded"),
        ("x=2", "divisor 2", "success", 1, 5, None, None),
    ]
    log = stack.airflow.log("broken_listener", run.run_id, "divide", 1)
    assert "ZeroDivisionError" in log
    for hook in ("on_task_instance_running", "on_task_instance_failed"):
        assert log.count(f"The mapping kit's {hook} went wrong") == 1


def partitions(*dates):
    return [{"origin": "EWR", "date": date} for date in dates]


def collected_again(stack, run_id, **generator):
    """Clear the fan-in alone, and before it the generator alone if asked; return the state of the run."""
    for task_id in (*generator, "collect_work"):
        stack.airflow.clear("wide", run_id, task_id)
        state = stack.airflow.wait("wide", run_id)
    return state


@pytest.mark.versions
def test_a_plan_that_moved_under_its_instances_fails_the_fan_in(stack, tmp_path):
    path = tmp_path / "plan.json"
    path.write_text(json.dumps(partitions("2013-01-01", "2013-01-02")))
    run_id = stack.run("wide", conf={"plan": str(path)})
    before = stack.airflow.instances("wide", run_id, "work")

    def said(moved):
        """Have the fan-in look again once the generator has made another plan; return its log."""
        path.write_text(json.dumps(moved))
        assert collected_again(stack, run_id, plan=True) == "failed"
        (fan_in,) = stack.airflow.instances("wide", run_id, "collect_work")
        assert fan_in["state"] == "failed"
        log = stack.airflow.log("wide", run_id, "collect_work", try_number=fan_in["try_number"])
        assert "The plan of work has changed since its instances ran" in log
        assert stack.airflow.instances("wide", run_id, "work") == before
        return log

    assert "[0] worked on date=2013-01-01/origin=EWR, the plan has date=2013-01-02/origin=EWR" in said(
        partitions("2013-01-02", "2013-01-01")
    )
    assert "[2] worked on nothing, the plan has date=2013-01-03/origin=EWR" in said(
        partitions("2013-01-01", "2013-01-02", "2013-01-03")
    )
    assert "[1] worked on date=2013-01-02/origin=EWR, the plan has nothing" in said(partitions("2013-01-01"))


def test_a_thousand_and_ninety_five_pieces_are_accounted_for(stack, tmp_path):
    path = tmp_path / "plan.json"
    path.write_text(json.dumps(partitions("2013-01-01")))
    run_id = stack.run("wide", conf={"plan": str(path), "percentage": 6})

    # What Airflow would have written had it run them all: no executor is kept busy for a test of the fan-in.
    plan = [{"origin": o, "date": f"day {day}"} for day in range(365) for o in ("EWR", "JFK", "LGA")]
    place = {"run": run_id}
    # Airflow 3 keeps XComs as JSON, Airflow 2 as bytes; and its instances have ids.
    as_xcom, new_id = (
        ("{}::jsonb", "gen_random_uuid()") if AIRFLOW_3 else ("convert_to({}::text, 'UTF8')", "")
    )
    stack.postgres.query(
        f"""
        UPDATE xcom SET value = {as_xcom.format("%(plan)s")}
         WHERE dag_id = 'wide' AND run_id = %(run)s AND task_id = 'plan'
        """,
        {**place, "plan": json.dumps(plan)},
    )
    columns = [
        row["column_name"]
        for row in stack.postgres.query(
            "SELECT column_name FROM information_schema.columns WHERE table_name = 'task_instance'"
        )
        if row["column_name"] not in {"map_index", "state", "rendered_map_index"}
    ]
    names = ", ".join(f'"{name}"' for name in columns)
    values = ", ".join(new_id if name == "id" else f'"{name}"' for name in columns)
    stack.postgres.query(
        f"""
        INSERT INTO task_instance ({names}, map_index, rendered_map_index, state)
        SELECT {values}, i, 'label ' || i, CASE WHEN i %% 15 = 1 THEN 'failed' WHEN i %% 15 = 2 THEN 'skipped'
               WHEN i %% 365 = 3 THEN 'upstream_failed' ELSE 'success' END
          FROM task_instance, generate_series(1, 1094) AS i
         WHERE dag_id = 'wide' AND run_id = %(run)s AND task_id = 'work' AND map_index = 0
        """,
        place,
    )
    stack.postgres.query(
        f"""
        INSERT INTO xcom (dag_run_id, task_id, map_index, key, dag_id, run_id, value, timestamp)
        SELECT dag_run_id, task_id, i, key, dag_id, run_id, {as_xcom.format("to_json('value ' || i)")}, timestamp
          FROM xcom, generate_series(1, 1094) AS i
         WHERE dag_id = 'wide' AND run_id = %(run)s AND task_id = 'work' AND key = 'return_value'
           AND i %% 7 > 0
        """,
        place,
    )
    # The instance that ran worked on another piece.
    stack.postgres.query(
        "DELETE FROM xcom WHERE dag_id = 'wide' AND run_id = %(run)s AND task_id = 'work' AND key = 'mapping_kit'",
        place,
    )
    assert collected_again(stack, run_id) == "failed"

    report = stack.airflow.xcom("wide", run_id, "collect_work")
    assert report["total"] == 1095
    assert [(row["key"], row["map_index"]) for row in report["results"]] == [
        (f"date={piece['date']}/origin={piece['origin']}", index) for index, piece in enumerate(plan)
    ]
    expected = {"failed": 0, "skipped": 0, "upstream_failed": 0, "success": 0}
    for index, row in enumerate(report["results"]):
        state = "success"
        if index:
            state = {1: "failed", 2: "skipped"}.get(
                index % 15, "upstream_failed" if index % 365 == 3 else "success"
            )
            pushed = f"value {index}" if index % 7 and state == "success" else None
            # A task of Airflow 3 can't ask for labels: they come from the plan.
            label = "{origin} {date}".format_map(plan[index]) if AIRFLOW_3 else f"label {index}"
            assert (row["state"], row["value"], row["label"]) == (state, pushed, label)
        expected[state] += 1
    assert (report["failed"], report["skipped"]) == (expected["failed"], expected["skipped"])
    failed = expected["failed"] + expected["upstream_failed"]
    log = stack.airflow.log("wide", run_id, "collect_work", try_number=2)
    assert f"{failed} of 1,095 pieces failed, at most 6 % tolerated" in log
    assert f"and {failed - 20} more" in log
    # Every fifteenth from the first on is of the same airport.
    assert "73 × no exception recorded (origin: JFK 73)" in log
