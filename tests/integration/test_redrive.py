"""Partitions run again over many runs, and missing ones are loaded: as a preview shows, and no more."""

from __future__ import annotations

import json
import uuid
from random import Random

import pendulum
import pytest
from airflow.models.dagrun import DagRun
from airflow.models.log import Log
from airflow.models.taskinstance import TaskInstance

from airflow_mapping_kit.cli.foresight import foresee
from airflow_mapping_kit.cli.imagined import imagined_run
from airflow_mapping_kit.compat import AIRFLOW_3
from airflow_mapping_kit.exceptions import ChangedError, RedriveError
from airflow_mapping_kit.fan_in import collect
from airflow_mapping_kit.generators import batches as in_batches
from airflow_mapping_kit.generators import date_range as dates
from airflow_mapping_kit.generators import product as products
from airflow_mapping_kit.history import history
from airflow_mapping_kit.operators.batched import batched
from airflow_mapping_kit.partitions import date_range, partition_key, product
from airflow_mapping_kit.plans.mapped import mapped_in
from airflow_mapping_kit.policy import task_policy
from airflow_mapping_kit.redrive import preview as previews
from airflow_mapping_kit.redrive.carry_out import carry_out
from airflow_mapping_kit.redrive.clearing import Actor
from airflow_mapping_kit.redrive.preview import preview
from airflow_mapping_kit.reload import reload_params, reload_partitions
from airflows import DAG, Param, create_session, scheduler_dag, task, task_group
from written import Written, at

ORIGINS = ["EWR", "JFK", "LGA"]
DAYS = date_range("2013-01-01", "2013-01-04")
ME = Actor("mapping_kit_redrive", "ann", {"host": "here"})

pytestmark = pytest.mark.usefixtures("metadata_db")


def flights(**options):
    """A DAG of which every origin is loaded every day, as the web server has it."""
    every = options.pop("every", "day")
    dimensions = options.pop("dimensions", {"origin": ORIGINS})
    more = options.pop("more", {})
    with DAG(
        f"f{uuid.uuid4().hex}",
        schedule=None,
        start_date=pendulum.datetime(2013, 1, 1),
        params={**reload_params(**dimensions), **options.pop("params", {})},
        **options,
    ) as dag:

        @task
        def load(partition):
            return partition

        collect(load.expand(partition=reload_partitions(every=every, **more)))
    for one in dag.tasks:
        task_policy(one)
    return dag


class Loaded:
    """Runs of a DAG, and what is known and done of them without its file."""

    def __init__(self, dag):
        self.written = Written(dag)
        self.dag_id = dag.dag_id
        self.dag = scheduler_dag(dag)
        self.minute = 0
        if not AIRFLOW_3:
            from airflow.models.serialized_dag import SerializedDagModel

            SerializedDagModel.write_dag(dag)
        activate(self.dag_id)

    def run(
        self,
        run_id,
        plan,
        states=lambda _: "success",
        *,
        state=None,
        collected="success",
        generator="reload_partitions",
    ):
        """Write a run of a plan; of each piece the state is said by `states`."""
        became = [states(piece) for piece in plan]
        state = state or ("success" if set(became) <= {"success", "skipped"} else "failed")
        over = state in {"success", "failed"}
        run = self.written.run(
            run_id, started=at(self.minute), ended=at(self.minute + 8) if over else None, state=state
        )
        self.written.xcom(run, generator, plan, when=at(self.minute))
        for index, one in enumerate(became):
            began = at(self.minute + 1 + index / 600)
            ended = one in {"success", "failed", "skipped", "upstream_failed"}
            self.written.instance(
                run, "load", index, one, start=began, end=at(self.minute + 5) if ended else None
            )
        self.written.instance(
            run, "collect_load", -1, collected, start=at(self.minute + 6), end=at(self.minute + 7)
        )
        self.minute += 10
        return self

    def flushed(self):
        self.written.flush()
        return self

    @property
    def history(self):
        return history(self.dag, "load")

    def preview(self, what, *partitions, **options):
        found = self.history
        cells = [found.cell([one[d.name] for d in found.dimensions]) for one in partitions] or None
        return preview(found, what, cells, **options)

    def states(self, run_id):
        with create_session() as session:
            rows = session.query(TaskInstance).filter_by(dag_id=self.dag_id, run_id=run_id)
            return {(row.task_id, row.map_index): row.state for row in rows}

    def runs(self):
        with create_session() as session:
            rows = session.query(DagRun).filter_by(dag_id=self.dag_id)
            return {row.run_id: (str(getattr(row.state, "value", row.state)), row.conf) for row in rows}

    def logged(self):
        with create_session() as session:
            rows = session.query(Log).filter_by(dag_id=self.dag_id, event=ME.event).order_by(Log.id)
            return [(row.run_id, row.owner, json.loads(row.extra)) for row in rows]


def activate(dag_id, **values):
    from airflow.models.dag import DagModel

    known = values.pop("known", True)
    with create_session() as session:
        row = session.get(DagModel, dag_id)
        setattr(row, "is_stale" if AIRFLOW_3 else "is_active", (not known) if AIRFLOW_3 else known)
        for name, value in {"is_paused": False, "has_import_errors": False, **values}.items():
            setattr(row, name, value)


def plan(*days, origins=ORIGINS):
    return product(origin=origins, date=list(days))


def failing(**values):
    """Return the states of pieces of which those of some values fail."""

    def state(piece):
        return "failed" if all(piece[name] == value for name, value in values.items()) else "success"

    return state


@pytest.fixture
def loaded():
    """Four days: LGA failed on the first, JFK on the third, until it was reloaded, and EWR in a reload of the last."""
    return (
        Loaded(flights())
        .run("one", plan(DAYS[0], DAYS[1]), failing(origin="LGA", date=DAYS[0]), collected="failed")
        .run("two", plan(DAYS[2], DAYS[3]), failing(origin="JFK", date=DAYS[2]), collected="failed")
        .run(
            "odd/ run: ü%'\"",
            plan(DAYS[3], origins=["LGA", "EWR"]),
            failing(origin="EWR"),
            collected="failed",
        )
        .run("mended", [{"origin": "JFK", "date": DAYS[2]}])
        .flushed()
    )


def at_places(part):
    return [(one.task_id, one.map_index) for one in part]


class TestWhatFailed:
    def test_is_cleared_in_the_run_of_its_newest_try_with_that_runs_fan_in(self, loaded):
        shown = loaded.preview("failed")
        assert [
            (one.run_id, at_places(one.wanted.pieces), at_places(one.wanted.after)) for one in shown.runs
        ] == [
            ("one", [("load", 4)], [("collect_load", -1)]),
            ("odd/ run: ü%'\"", [("load", 1)], [("collect_load", -1)]),
        ]
        assert (shown.instances, shown.pieces, shown.starts) == (4, 2, ())
        before = {run_id: loaded.states(run_id) for run_id in loaded.runs()}
        done = carry_out(shown, ME, digest=shown.digest)
        assert (done.instances, list(done.started), done.left) == (4, [], 0)
        for run_id, states in before.items():
            now = loaded.states(run_id)
            changed = {place for place in now if now[place] != states[place]}
            assert changed == {
                "one": {("load", 4), ("collect_load", -1)},
                "odd/ run: ü%'\"": {("load", 1), ("collect_load", -1)},
            }.get(run_id, set())
            assert {now[place] for place in changed} <= {None}
        assert {run_id: state for run_id, (state, _) in loaded.runs().items()} == {
            "one": "queued",
            "odd/ run: ü%'\"": "queued",
            "two": "failed",
            "mended": "success",
        }

    def test_is_told_to_the_audit_log_by_run(self, loaded):
        carry_out(loaded.preview("failed"), ME)
        assert sorted(loaded.logged()) == [
            ("odd/ run: ü%'\"", "ann", {"host": "here", "cleared": {"load": [1], "collect_load": [-1]}}),
            ("one", "ann", {"host": "here", "cleared": {"load": [4], "collect_load": [-1]}}),
        ]

    def test_is_told_as_plain_json(self, loaded):
        told = json.loads(json.dumps(loaded.preview("failed", {"origin": "LGA", "date": DAYS[0]}).as_json()))
        assert told == {
            "runs": [
                {
                    "run": "one",
                    "state": "failed",
                    "before": [],
                    "pieces": [["load", 4, "failed", None]],
                    "after": [["collect_load", -1, "failed", None]],
                    "left": 0,
                }
            ],
            "starts": [],
            "notes": [],
            "instances": 2,
            "pieces": 1,
            "digest": told["digest"],
        }

    def test_has_the_same_digest_as_long_as_the_same_would_be_done(self, loaded):
        shown = loaded.preview("failed")
        assert loaded.preview("failed").digest == shown.digest
        assert loaded.preview("failed", fresh=True).digest != shown.digest
        carry_out(loaded.preview("failed", {"origin": "LGA", "date": DAYS[0]}), ME)
        now = loaded.preview("failed")
        assert now.digest != shown.digest
        with pytest.raises(ChangedError) as raised:
            carry_out(now, ME, digest=shown.digest)
        assert raised.value.preview is now
        assert loaded.states("odd/ run: ü%'\"")["load", 1] == "failed"

    def test_that_has_changed_since_it_was_shown_is_left_alone(self, loaded):
        shown = loaded.preview("failed")
        with create_session() as session:
            row = session.query(TaskInstance).filter_by(
                dag_id=loaded.dag_id, run_id="one", task_id="load", map_index=4
            )
            row.one().state = "success"
        done = carry_out(shown, ME)
        assert (done.instances, done.left) == (2, 2)
        assert loaded.states("one")["load", 4] == "success"
        assert loaded.states("one")["collect_load", -1] == "failed"
        assert [run_id for run_id, *_ in loaded.logged()] == ["odd/ run: ü%'\""]

    def test_of_a_run_that_is_gone_is_left_alone(self, loaded):
        shown = loaded.preview("failed")
        with create_session() as session:
            session.query(TaskInstance).filter_by(dag_id=loaded.dag_id, run_id="one").delete()
            session.query(DagRun).filter_by(dag_id=loaded.dag_id, run_id="one").delete()
        done = carry_out(shown, ME)
        assert list(done.cleared) == ["odd/ run: ü%'\""]
        assert done.left == 2

    def test_a_second_time_at_once_does_nothing(self, loaded):
        shown = loaded.preview("failed")
        carry_out(shown, ME)
        done = carry_out(shown, ME)
        assert (done.instances, done.left) == (0, 4)
        assert len(loaded.logged()) == 2

    def test_in_one_run_and_was_loaded_by_another_since_is_left_alone(self, loaded):
        found = history(loaded.dag, "load", run_id="two")
        assert found.counts["h"] == 1
        assert preview(found, "failed").runs == ()
        healed = found.cell([{"date": DAYS[2], "origin": "JFK"}[one.name] for one in found.dimensions])
        (again,) = preview(found, "chosen", [healed]).runs
        assert (again.run_id, at_places(again.wanted.pieces)) == ("two", [("load", 2)])

    def test_of_a_group_runs_again_from_the_task_that_failed(self):
        with DAG(f"g{uuid.uuid4().hex}", schedule=None, start_date=pendulum.datetime(2013, 1, 1)) as declared:

            @task
            def fetch(n):
                return n

            @task
            def keep(n):
                return n

            @task_group
            def steps(n):
                return keep(fetch(n))

            collect(steps.expand(n=[1, 2, 3]))
        for one in declared.tasks:
            task_policy(one)
        written = Written(declared)
        activate(declared.dag_id)
        run = written.run("run", started=at(0), ended=at(9), state="failed")
        for index, (first, second) in enumerate(
            [("success", "success"), ("success", "failed"), ("failed", "upstream_failed")]
        ):
            written.instance(run, "steps.fetch", index, first, start=at(1), end=at(2))
            written.instance(run, "steps.keep", index, second, start=at(3), end=at(4))
        written.instance(run, "collect_steps", -1, "failed", start=at(5), end=at(6))
        written.flush()
        found = history(scheduler_dag(declared))
        (again,) = preview(found, "failed").runs
        assert sorted(at_places(again.wanted.pieces)) == [
            ("steps.fetch", 2),
            ("steps.keep", 1),
            ("steps.keep", 2),
        ]
        assert at_places(again.wanted.after) == [("collect_steps", -1)]
        (whole,) = preview(found, "chosen", [0]).runs
        assert sorted(at_places(whole.wanted.pieces)) == [("steps.fetch", 0), ("steps.keep", 0)]

    def test_of_a_batch_is_the_instance_and_it_is_said_which_items_run_again(self):
        with DAG(f"b{uuid.uuid4().hex}", schedule=None, start_date=pendulum.datetime(2013, 1, 1)) as declared:

            @batched
            def ship(order): ...

            collect(ship.expand(order=in_batches([1, 2, 3, 4], batch_size=2)))
        for one in declared.tasks:
            task_policy(one)
        written = Written(declared)
        activate(declared.dag_id)
        run = written.run("run", started=at(0), ended=at(9), state="failed")
        written.xcom(run, "batches", [[1, 2], [3, 4]], when=at(0))
        for index, state in enumerate(("success", "failed")):
            written.instance(run, "ship", index, state, start=at(1), end=at(2))
        row = {"value": None, "error": None, "tries": 1, "duration_s": 1.0}
        items = [{"key": "order=3", "state": "success", **row}, {"key": "order=4", "state": "failed", **row}]
        written.xcom(run, "ship", items, map_index=1)
        written.instance(run, "collect_ship", -1, "failed", start=at(5), end=at(6))
        written.flush()
        found = history(scheduler_dag(declared))
        assert [found.key(cell) for cell, code in enumerate(found.letters) if code in b"fF"] == ["order=4"]
        shown = preview(found, "failed")
        assert [at_places(one.wanted.pieces) for one in shown.runs] == [[("ship", 1)]]
        assert shown.notes == ("Of these batches of ship only the items that are not done run again.",)
        assert (
            preview(found, "failed", fresh=True)
            .notes[0]
            .startswith("Of these batches of ship all items run again")
        )

    def test_of_very_many_so_many_run_again_at_once_and_it_is_said(self, loaded, monkeypatch):
        monkeypatch.setattr(previews, "MAX_PIECES", 1)
        shown = loaded.preview("failed")
        assert shown.pieces == 1
        assert "The first 1 of 2 partitions: choose a part" in shown.notes[0]


class TestChosenOnes:
    def test_run_again_although_they_are_loaded(self, loaded):
        shown = loaded.preview(
            "chosen", {"origin": "JFK", "date": DAYS[2]}, {"origin": "EWR", "date": DAYS[0]}
        )
        assert [(one.run_id, at_places(one.wanted.pieces)) for one in shown.runs] == [
            ("one", [("load", 0)]),
            ("mended", [("load", 0)]),
        ]
        carry_out(shown, ME)
        assert loaded.states("mended") == {
            ("reload_partitions", -1): "success",
            ("load", 0): None,
            ("collect_load", -1): None,
        }
        assert loaded.states("one")["load", 4] == "failed"

    def test_at_work_are_left_alone_and_it_is_said(self):
        states = {"EWR": "running", "JFK": "failed", "LGA": "success"}
        loaded = Loaded(flights()).run(
            "on", plan(DAYS[0]), lambda piece: states[piece["origin"]], state="running", collected=None
        )
        loaded.flushed()
        shown = loaded.preview("chosen", *plan(DAYS[0]))
        assert [at_places(one.wanted.pieces) for one in shown.runs] == [[("load", 1), ("load", 2)]]
        assert any("1 of the chosen partitions are at work or waiting" in note for note in shown.notes)
        assert any("The run on is running" in note for note in shown.notes)
        carry_out(shown, ME)
        assert loaded.states("on")["load", 0] == "running"


class TestMissingOnes:
    def test_are_loaded_by_runs_of_the_form_in_rectangles(self):
        loaded = (
            Loaded(flights())
            .run("first", plan("2013-01-01", "2013-01-02"))
            .run("later", plan("2013-01-06", "2013-01-07", origins=["EWR"]))
            .flushed()
        )
        shown = loaded.preview("missing")
        assert [(one.conf, one.pieces) for one in shown.starts] == [
            (
                {"mode": "custom", "start_date": "2013-01-03", "end_date": "2013-01-05", "origin": ORIGINS},
                9,
            ),
            (
                {
                    "mode": "custom",
                    "start_date": "2013-01-06",
                    "end_date": "2013-01-07",
                    "origin": ["JFK", "LGA"],
                },
                4,
            ),
        ]
        assert (shown.instances, shown.pieces, shown.runs) == (0, 13, ())
        done = carry_out(shown, ME, digest=shown.digest)
        assert list(done.started) == [one.run_id for one in shown.starts]
        made = loaded.runs()
        assert [made[one.run_id] for one in shown.starts] == [("queued", one.conf) for one in shown.starts]
        assert [(run_id, extra["start"]) for run_id, _, extra in loaded.logged()] == [
            (one.run_id, one.conf) for one in shown.starts
        ]

    def test_are_not_started_twice_by_a_second_click(self):
        loaded = Loaded(flights()).run("a", plan("2013-01-01")).run("b", plan("2013-01-03")).flushed()
        shown = loaded.preview("missing")
        assert len(carry_out(shown, ME).started) == 1
        assert carry_out(shown, ME).started == []
        again = loaded.preview("missing")
        assert again.starts == ()
        assert again.digest != shown.digest
        assert len(loaded.runs()) == 3

    def test_of_a_dag_that_has_ended_are_loaded_all_the_same_by_a_run_within_its_time(self):
        end = pendulum.datetime(2013, 1, 4)
        loaded = (
            Loaded(flights(end_date=end)).run("a", plan("2013-01-01")).run("b", plan("2013-01-03")).flushed()
        )
        shown = loaded.preview("missing")
        done = carry_out(shown, ME)
        assert done.started == [shown.starts[0].run_id]
        with create_session() as session:
            (run,) = session.query(DagRun).filter_by(dag_id=loaded.dag_id, run_id=done.started[0])
            assert run.logical_date <= end
            tasks = session.query(TaskInstance.task_id).filter_by(dag_id=loaded.dag_id, run_id=run.run_id)
            assert {"reload_partitions", "load"} <= {task_id for (task_id,) in tasks}

    def test_are_started_anew_where_the_run_has_ended_without_them(self):
        loaded = Loaded(flights()).run("a", plan("2013-01-01")).run("b", plan("2013-01-03")).flushed()
        (first,) = carry_out(loaded.preview("missing"), ME).started
        with create_session() as session:
            session.query(DagRun).filter_by(dag_id=loaded.dag_id, run_id=first).one().state = "failed"
        (second,) = loaded.preview("missing").starts
        assert second.run_id == f"{first}__2"

    @pytest.mark.parametrize(
        ("every", "zone", "periods", "dimensions"),
        [
            ("day", "UTC", ("2013-01-28", "2013-02-03"), {"origin": ORIGINS, "carrier": ["AA", "B6"]}),
            ("day", "America/New_York", ("2013-03-08", "2013-03-12"), {}),
            ("hour", "UTC", ("2013-01-01T20", "2013-01-03T03"), {"origin": ["EWR", "JFK"]}),
            ("hour", "America/New_York", ("2013-11-02T12", "2013-11-04T12"), {}),
            ("15min", "Europe/Berlin", ("2024-10-26T22:00", "2024-10-27T08:00"), {"origin": ["EWR", "JFK"]}),
            ("0 6 * * 1-5", "Europe/Berlin", ("2024-10-18", "2024-11-06"), {"origin": ORIGINS}),
            (
                "*/20 8-17 * * *",
                "Australia/Lord_Howe",
                ("2024-10-05", "2024-10-07"),
                {"origin": ["EWR", "JFK"]},
            ),
            ("week", "UTC", ("2013-W50", "2014-W03"), {"origin": ORIGINS}),
            ("month", "UTC", ("2012-11", "2013-06"), {"origin": ORIGINS, "class": ["a b", 'c"d', "e,f=g"]}),
            ("year", "UTC", ("2001", "2007"), {"origin": ORIGINS}),
        ],
    )
    def test_are_loaded_once_each_and_nothing_else_is(self, every, zone, periods, dimensions):
        """What every run is told is given to the generator itself."""
        dates = date_range(*periods, every=every, timezone=zone)
        whole = product(**dimensions, date=dates)
        random = Random(f"{every}{zone}")
        for share in (0.03, 0.3, 0.9):
            declared = flights(every=every, dimensions=dimensions, more={"timezone": zone})
            there = [
                piece for piece in whole if random.random() > share or piece["date"] in (dates[0], dates[-1])
            ]
            loaded = Loaded(declared).run("there", there)
            loaded.flushed()
            missing = {partition_key(one) for one in whole} - {partition_key(one) for one in there}
            shown = loaded.preview("missing")
            told = [planned(declared, one.conf) for one in shown.starts]
            keys = [key for of_run in told for key in of_run]
            assert len(keys) == len(set(keys))
            assert set(keys) <= missing
            assert [one.pieces for one in shown.starts] == [len(of_run) for of_run in told]
            assert len(shown.starts) <= 12
            if "select" in declared.params:
                assert set(keys) == missing
            assert set(keys) == missing or any(
                "more than 12 runs" in n or "no selection" in n for n in shown.notes
            )

    def test_of_a_dag_without_the_form_are_not_started_and_it_is_said_what_to_do(self):
        with DAG(f"n{uuid.uuid4().hex}", schedule=None, start_date=pendulum.datetime(2013, 1, 1)) as declared:

            @task
            def load(partition): ...

            collect(load.expand(partition=products(origin=ORIGINS, date=dates("2013-01-01", "2013-01-03"))))
        for one in declared.tasks:
            task_policy(one)
        loaded = Loaded(declared)
        loaded.run("a", plan("2013-01-01"), generator="product").run(
            "b", plan("2013-01-03"), generator="product"
        )
        loaded.flushed()
        assert loaded.history.counts == {"o": 6, "m": 3}
        shown = loaded.preview("missing")
        assert (shown.starts, shown.pieces) == ((), 0)
        assert "has no form of reload_params: give it one, params=reload_params(...)" in shown.notes[0]

    def test_that_the_dags_params_refuse_are_not_started(self):
        needed = Param(type="integer")
        loaded = (
            Loaded(flights(params={"events": needed}))
            .run("a", plan("2013-01-01"))
            .run("b", plan("2013-01-03"))
        )
        shown = loaded.flushed().preview("missing")
        assert shown.starts == ()
        assert "don't allow the conf of these runs" in shown.notes[0]
        assert "events" in shown.notes[0]

    def test_of_very_many_runs_so_many_are_started_and_the_rest_is_said(self, monkeypatch):
        monkeypatch.setenv("AIRFLOW__CORE__MAX_MAP_LENGTH", "3")
        days = date_range("2013-01-01", "2013-02-09")
        loaded = Loaded(flights()).run("a", plan(days[0])).run("b", plan(days[-1])).flushed()
        shown = loaded.preview("missing")
        assert [one.pieces for one in shown.starts] == [3] * 12
        assert any(
            "36 of 114 missing partitions: no more than 12 runs are started at once" in note
            for note in shown.notes
        )

    def test_are_refused_where_no_run_may_have_such_an_id(self, monkeypatch):
        monkeypatch.setenv("AIRFLOW__SCHEDULER__ALLOWED_RUN_ID_PATTERN", "^manual__.*$")
        loaded = Loaded(flights()).run("a", plan("2013-01-01")).run("b", plan("2013-01-03")).flushed()
        shown = loaded.preview("missing")
        assert shown.starts == ()
        assert "allowed_run_id_pattern is '^manual__.*$'" in shown.notes[0]


class TestADag:
    def test_that_is_paused_is_cleared_and_it_is_said_that_nothing_runs(self, loaded):
        activate(loaded.dag_id, is_paused=True)
        shown = loaded.preview("failed")
        assert "is paused: nothing of this runs until somebody unpauses it" in shown.notes[0]
        assert carry_out(shown, ME).instances == 4

    @pytest.mark.parametrize(
        ("values", "said"),
        [
            ({"has_import_errors": True}, "can't be imported"),
            ({"known": False}, "no file declares it any more"),
        ],
    )
    def test_that_is_gone_or_broken_is_refused(self, loaded, values, said):
        activate(loaded.dag_id, **values)
        with pytest.raises(RedriveError, match=said):
            loaded.preview("failed")

    def test_that_has_lost_the_fan_in_since_is_cleared_without_it(self, loaded):
        """Another version of the DAG than the one that the runs were of."""
        declared = flights()
        declared.dag_id = loaded.dag_id
        with DAG(
            loaded.dag_id, schedule=None, start_date=pendulum.datetime(2013, 1, 1), params=declared.params
        ) as new:

            @task
            def load(partition): ...

            load.expand(partition=reload_partitions())
        for one in new.tasks:
            task_policy(one)
        loaded.dag = scheduler_dag(new)
        shown = loaded.preview("failed", {"origin": "LGA", "date": DAYS[0]})
        assert [at_places(one.wanted.everything) for one in shown.runs] == [[("load", 4)]]
        carry_out(shown, ME)
        assert loaded.states("one")["collect_load", -1] == "failed"

    def test_is_asked_for_what_it_can_do(self, loaded):
        with pytest.raises(RedriveError, match="choose one of failed, chosen, missing"):
            loaded.preview("everything")


def planned(declared, conf):
    """Return the keys of what a run would load that is told this, as its generator makes them."""
    (foreseen,) = [foresee(one, imagined_run(declared, conf, None)) for one in mapped_in(declared)]
    assert foreseen.error is None
    return [piece["key"].removeprefix("partition=") for piece in foreseen.pieces]
