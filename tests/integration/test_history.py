"""The newest state of every partition over the runs of a DAG, from rows as Airflow leaves them."""

from __future__ import annotations

import pendulum
import pytest

from airflow_mapping_kit.exceptions import PlanError
from airflow_mapping_kit.fan_in import collect
from airflow_mapping_kit.generators import batches, product
from airflow_mapping_kit.generators import date_range as generated_dates
from airflow_mapping_kit.history import LETTERS, history
from airflow_mapping_kit.operators.batched import batched
from airflow_mapping_kit.partitions import date_range, partition_key
from airflow_mapping_kit.partitions import product as combined
from airflows import DAG, task, task_group
from written import ORIGINS, Written, at, noted, reloaded

LATE = {"type": "OSError", "message": "origin=LGA/date=2013-01-02: no such file"}

pytestmark = pytest.mark.usefixtures("metadata_db")


def _loaded(
    written,
    run_id,
    plan,
    states=lambda _: "success",
    *,
    minute,
    state="success",
    kind="manual",
    conf=None,
    generator="reload_partitions",
    seconds=1,
    errors=None,
):
    """Write a run of a plan; of each piece the state is said by `states`."""
    run = written.run(
        run_id,
        started=at(minute),
        ended=at(minute + 10) if state in {"success", "failed"} else None,
        state=state,
        kind=kind,
        conf=conf,
    )
    if generator:
        written.xcom(run, generator, plan, when=at(minute))
    for index, piece in enumerate(plan):
        became = states(piece)
        began = at(minute + 1 + index * seconds / 60)
        over = became in {"success", "failed", "skipped", "upstream_failed"}
        written.instance(
            run,
            "load",
            index,
            became,
            start=began if over or became == "running" else None,
            end=at(minute + 5) if over else None,
            tries=2 if became == "failed" else 1,
        )
        if became == "failed" and errors:
            written.xcom(
                run,
                "load",
                {"key": partition_key(piece), "label": "", "try_number": 2, "error": errors},
                key="mapping_kit",
                map_index=index,
            )
    return run


@pytest.mark.parametrize("stored", [False, True], ids=["declared", "serialized"])
def test_the_newest_run_decides_and_older_data_are_kept_in_mind(stored):
    dag = reloaded(f"history_newest_{stored}")
    written = Written(dag)
    days = date_range("2013-01-01", "2013-01-04")
    plan = combined(origin=ORIGINS, date=[days[0], days[1], days[3]])
    _loaded(
        written,
        "first",
        plan,
        lambda one: "failed" if one["origin"] == "LGA" and one["date"] < days[3] else "success",
        minute=0,
        state="failed",
        errors=LATE,
    )
    _loaded(
        written,
        "second",
        combined(origin=["EWR", "LGA"], date=[days[0]]),
        lambda one: "failed" if one["origin"] == "EWR" else "success",
        minute=60,
        state="failed",
        errors=LATE,
    )
    _loaded(
        written,
        "third",
        combined(origin=["JFK"], date=days[:2]),
        lambda one: "running" if one["date"] == days[0] else "scheduled",
        minute=120,
        state="running",
    )
    written.flush()

    found = history(written.stored() if stored else dag)

    assert [(one.name, one.values, one.cadence) for one in found.dimensions] == [
        ("date", days, "day"),
        ("origin", ORIGINS, None),
    ]
    assert found.letters.decode() == "FWooQfmmmooo"
    assert found.counts == {"F": 1, "W": 1, "o": 5, "Q": 1, "f": 1, "m": 3}
    assert found.key(5) == "date=2013-01-02/origin=LGA"
    assert found.partition(5) == {"date": "2013-01-02", "origin": "LGA"}
    assert found.cell(["2013-01-02", "LGA"]) == 5
    attempt = found.attempt(0)
    assert (attempt.run.id, attempt.map_index, attempt.task_id, attempt.try_number) == (
        "second",
        0,
        "load",
        2,
    )
    assert found.attempt(6) is None
    assert [(one.type, one.message, one.cells) for one in found.errors] == [
        ("OSError", "<partition>: no such file", [0, 5])
    ]
    assert [(one.id, one.counts) for one in found.runs] == [
        ("third", {"w": 1, "q": 1}),
        ("second", {"f": 1, "o": 1}),
        ("first", {"f": 2, "o": 7}),
    ]
    assert {name: getattr(found.target, name) for name in ("name", "task_ids", "collected", "product")} == {
        "name": "load", "task_ids": ("load",), "collected": True, "product": True,
    }  # fmt: skip


def test_what_failed_in_a_run_and_was_loaded_later_is_healed_there():
    dag = reloaded("history_healed")
    written = Written(dag)
    plan = combined(origin=ORIGINS, date=["2013-01-01"])
    _loaded(written, "before", plan[2:], minute=0)
    _loaded(
        written,
        "first",
        plan,
        lambda one: "success" if one["origin"] == "JFK" else "failed",
        minute=30,
        state="failed",
    )
    _loaded(written, "later", plan[:1], minute=60)
    written.flush()

    found = history(dag, run_id="first")

    assert found.letters.decode() == "hoF"
    assert {LETTERS[letter.lower()] for letter in found.counts} == {"healed", "loaded", "failed"}
    assert history(dag).letters.decode() == "ooF"


def test_items_of_batches_are_partitions_of_their_own():
    with DAG("history_batches", schedule=None, start_date=pendulum.datetime(2013, 1, 1)) as dag:

        @batched
        def load(partition):
            return partition

        collect(
            load.expand(
                partition=batches(product(origin=ORIGINS, date=["2013-01-01", "2013-01-02"]), batch_size=2)
            )
        )
    written = Written(noted(dag))
    plan = combined(origin=ORIGINS, date=["2013-01-01", "2013-01-02"])
    run = written.run("one", started=at(0), ended=at(10), state="failed")
    written.xcom(run, "batches", [plan[0:2], plan[2:4], plan[4:6]])
    rows = [
        {
            "key": partition_key(one),
            "state": state,
            "value": None,
            "error": error,
            "tries": 1,
            "duration_s": 1.0,
        }
        for one, state, error in [(plan[2], "success", None), (plan[3], "failed", LATE)]
    ]
    for index, state in enumerate(["success", "failed", "upstream_failed"]):
        written.instance(run, "load", index, state, start=at(1), end=at(2))
    written.xcom(run, "load", rows, map_index=1)
    written.flush()

    for one in (dag, written.stored()):
        found = history(one)
        assert found.partition(1) == {"date": "2013-01-01", "origin": "JFK"}
        assert found.letters.decode() == "oobofb"
        assert [(error.type, error.cells) for error in found.errors] == [("OSError", [4])]
        assert found.attempt(4).map_index == 1
        assert found.target.batched


def test_of_a_batch_that_was_killed_what_it_had_saved_is_loaded():
    with DAG("history_killed", schedule=None, start_date=pendulum.datetime(2013, 1, 1)) as dag:

        @batched
        def load(partition):
            return partition

        collect(load.expand(partition=batches(product(origin=ORIGINS, date=["2013-01-01"]), batch_size=3)))
    written = Written(noted(dag))
    plan = combined(origin=ORIGINS, date=["2013-01-01"])
    rows = [
        {
            "key": partition_key(one),
            "state": state,
            "value": None,
            "error": error,
            "tries": 1,
            "duration_s": 1.0,
        }
        for one, state, error in [(plan[0], "success", None), (plan[2], "failed", LATE)]
    ]
    for n, max_tries in enumerate((1, 2)):  # what was saved before a clear does not count
        run = written.run(f"run {n}", started=at(60 * n), ended=at(60 * n + 10), state="failed")
        written.xcom(run, "batches", [plan])
        written.instance(
            run, "load", 0, "failed", start=at(60 * n + 1), end=at(60 * n + 2), max_tries=max_tries
        )
        written.saved(run, "load", 0, rows, anchor="batches", max_tries=1)
    written.flush()

    for one in (dag, written.stored()):
        assert history(one, run_id="run 0").letters.decode() == "off"
        found = history(one)
        assert found.letters.decode() == "Fff"
        assert [error.type for error in history(one, run_id="run 0").errors] == [None, "OSError"]


def test_items_that_were_skipped_in_a_batch_that_succeeded_are_skipped():
    with DAG("history_skipped", schedule=None, start_date=pendulum.datetime(2013, 1, 1)) as dag:

        @batched
        def load(partition):
            return partition

        load.expand(partition=batches(product(origin=ORIGINS, date=["2013-01-01"]), batch_size=3))
    written = Written(noted(dag))
    plan = combined(origin=ORIGINS, date=["2013-01-01"])
    run = written.run("one", started=at(0), ended=at(10))
    written.xcom(run, "batches", [plan])
    written.instance(run, "load", 0, "success", start=at(1), end=at(2))
    states = ["success", "skipped", "success"]
    rows = [{"key": partition_key(one), "state": state} for one, state in zip(plan, states, strict=True)]
    written.xcom(run, "load", rows, map_index=0)
    written.flush()

    for one in (dag, written.stored()):
        assert history(one).letters.decode() == "oso"


def test_an_item_of_a_chain_that_failed_before_is_not_loaded_though_its_batch_succeeded():
    with DAG("history_chain", schedule=None, start_date=pendulum.datetime(2013, 1, 1)) as dag:

        @batched
        def fetch(partition):
            return partition

        @batched(trigger_rule="all_done")
        def load(partition):
            return partition

        plan = batches(product(origin=ORIGINS, date=["2013-01-01"]), batch_size=3)
        load.expand(partition=fetch.expand(partition=plan))
    written = Written(noted(dag))
    run = written.run("one", started=at(0), ended=at(10))
    keys = [partition_key(one) for one in combined(origin=ORIGINS, date=["2013-01-01"])]
    for name, bad in (("fetch", "failed"), ("load", "upstream_failed")):
        rows = [
            {"key": key, "state": state, "value": None, "error": None, "tries": 1, "duration_s": None}
            for key, state in zip(keys, ["success", bad, "success"], strict=True)
        ]
        written.xcom(run, name, rows, map_index=0)
        written.instance(run, name, 0, "failed" if name == "fetch" else "success", start=at(1), end=at(2))
    written.flush()

    for one in (dag, written.stored()):
        assert history(one, "load").letters.decode() == "obo"


def test_a_piece_of_a_group_is_what_all_of_its_tasks_made_of_it():
    with DAG("history_groups", schedule=None, start_date=pendulum.datetime(2013, 1, 1)) as dag:

        @task
        def first(origin):
            return origin

        @task
        def second(value):
            return value

        @task_group
        def each(origin):
            second(first(origin))

        each.expand(origin=ORIGINS)
    written = Written(dag)
    run = written.run("one", started=at(0), ended=at(10), state="failed")
    for index, states in enumerate(
        [("success", "success"), ("failed", "upstream_failed"), ("success", "skipped")]
    ):
        for n, (name, state) in enumerate(zip(("each.first", "each.second"), states, strict=True)):
            written.instance(run, name, index, state, start=at(1 + n), end=at(2 + n))
    written.flush()

    for one in (dag, written.stored()):
        found = history(one, "each.second")
        assert [one.name for one in found.dimensions] == ["origin"]
        assert found.letters.decode() == "ofs"
        assert found.attempt(1).task_id == "each.first"
        assert found.target.name == "each"


def test_a_dag_without_mapped_tasks_and_a_task_that_is_none_are_named():
    with DAG("history_nothing", schedule=None, start_date=pendulum.datetime(2013, 1, 1)) as dag:

        @task
        def alone():
            return 1

        alone()
    with pytest.raises(PlanError, match="history_nothing has no mapped task"):
        history(dag)
    with pytest.raises(PlanError, match="no mapped task or group 'lod': choose one of load"):
        history(reloaded("history_names"), "lod")


def test_a_history_without_runs_has_no_cells():
    dag = reloaded("history_empty")
    Written(dag)
    found = history(dag)
    assert (found.letters, found.dimensions, found.counts, found.runs, found.errors) == (b"", [], {}, [], [])


@pytest.mark.parametrize(("left_out", "whole"), [(None, True), ([{"origin": "EWR"}], False)])
def test_a_product_of_what_another_task_returns_is_known_as_one(left_out, whole):
    with DAG(f"history_returned_{whole}", schedule=None, start_date=pendulum.datetime(2013, 1, 1)) as dag:

        @task
        def load(partition):
            return partition

        options = {"exclude": left_out} if left_out else {}
        days = generated_dates("2013-01-01", "2013-01-02")
        load.expand(partition=product(origin=ORIGINS, date=days, **options))
    written = Written(noted(dag))
    for one in (dag, written.stored()):
        assert history(one).target.product is whole


def _next_run(dag, due, interval=None):
    """Have the scheduler's row of a DAG name its next run."""
    from airflow.models.dag import DagModel
    from airflow.utils.session import create_session
    from sqlalchemy import update

    table = DagModel.__table__
    start, end = interval or (due, due)
    with create_session() as session:
        session.execute(
            update(table)
            .where(table.c.dag_id == dag.dag_id)
            .values(
                is_paused=False,
                next_dagrun=start,
                next_dagrun_create_after=due,
                next_dagrun_data_interval_start=start,
                next_dagrun_data_interval_end=end,
            )
        )


@pytest.mark.parametrize("stored", [False, True], ids=["declared", "serialized"])
def test_what_a_run_will_load_that_has_no_plan_yet_waits(stored):
    dag = reloaded(f"history_waiting_{stored}")
    written = Written(dag)
    days = date_range("2013-01-01", "2013-01-03")
    _loaded(
        written,
        "first",
        combined(origin=ORIGINS, date=days[:1]),
        lambda one: "failed" if one["origin"] == "LGA" else "success",
        minute=0,
        state="failed",
    )
    written.run(
        "custom",
        started=None,
        state="queued",
        conf={"mode": "custom", "start_date": days[0], "end_date": days[1], "origin": ["LGA"]},
    )
    written.run(
        "scheduled",
        started=at(60),
        state="running",
        kind="scheduled",
        interval=(pendulum.datetime(2013, 1, 3), pendulum.datetime(2013, 1, 4)),
    )
    written.flush()

    found = history(written.stored() if stored else dag)

    assert found.dimensions[0].values == days
    assert found.letters.decode() == "ooqmmqqqq"
    attempt = found.attempt(5)
    assert (attempt.run.id, attempt.map_index, attempt.try_number) == ("custom", -1, None)
    assert {one.id: one.counts for one in found.runs} == {
        "custom": {"q": 2},
        "scheduled": {"q": 3},
        "first": {"o": 2, "f": 1},
    }


def test_days_whose_runs_never_came_are_missing_to_the_last_that_is_due():
    yesterday = pendulum.today("UTC").subtract(days=1)
    dag = reloaded("history_overdue", schedule="0 3 * * *")
    written = Written(dag)
    first = yesterday.subtract(days=3)
    _loaded(written, "one", combined(origin=ORIGINS, date=[first.to_date_string()]), minute=0)
    written.flush()
    # The scheduler was down: its next run is that of the day after the first, two or three days late.
    due = first.add(days=2, hours=3)
    _next_run(dag, due, (due.subtract(days=1), due))
    last = (
        yesterday
        if pendulum.now("UTC") > pendulum.today("UTC").add(hours=3, minutes=2)
        else yesterday.subtract(days=1)
    )

    for one in (dag, written.stored()):
        found = history(one)
        assert found.dimensions[0].values == date_range(first.to_date_string(), last.to_date_string())
        assert found.letters.decode() == "ooo" + "mmm" * (last - first).days
        assert found.notes == []


def test_a_history_of_many_runs_takes_as_many_queries_as_one_of_few():
    queries = []
    for number in (2, 15):
        dag = reloaded(f"history_queries_{number}")
        written = Written(dag)
        for n in range(number):
            plan = combined(origin=ORIGINS, date=date_range("2013-01-01", "2013-01-20"))
            kind = "manual" if n % 2 else "scheduled"
            _loaded(
                written,
                f"run {n}",
                plan,
                lambda one: "failed" if one["date"] == "2013-01-02" else "success",
                minute=n,
                state="failed",
                kind=kind,
                errors=LATE,
            )
        written.flush()
        found = history(dag)
        assert found.counts == {"o": 57, "f": 3}
        queries.append(found.queries)
    assert queries[0] == queries[1] <= 8
