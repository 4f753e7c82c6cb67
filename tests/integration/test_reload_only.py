"""What a run loads of what it could: what is missing, what failed last time, some that a person selects."""

from __future__ import annotations

import itertools
import logging
import re
import shutil
import uuid
from datetime import timedelta

import pendulum
import pytest

from airflow_mapping_kit.compat import Asset
from airflow_mapping_kit.exceptions import PartitionError, PlanError
from airflow_mapping_kit.generators import batches, lake_partitions
from airflow_mapping_kit.partitions import partition_key, product
from airflow_mapping_kit.reload import reload_params, reload_partitions
from airflows import AIRFLOW_3, AssetAlias, DagRunType, clear, dag, scheduler_dag, store, task

ORIGINS = ["EWR", "JFK"]
DAYS = {"mode": "custom", "start_date": "2013-01-01", "end_date": "2013-01-03"}
# A scheduled run that loads 2013-01-10 is called by the day on Airflow 2, and by the next on Airflow 3.
TENTH = pendulum.datetime(2013, 1, 11 if AIRFLOW_3 else 10)


@pytest.fixture
def lake(tmp_path):
    return tmp_path / "lake"


@pytest.fixture
def put(lake):
    """Return a function that puts partitions into the lake."""

    def put(*partitions):
        for partition in partitions:
            folder = lake / partition_key(partition)
            folder.mkdir(parents=True, exist_ok=True)
            (folder / "data_0.parquet").write_bytes(b"PAR1")

    return put


def a_dag(lake, *, schedule="@daily", start="2013-01-01", zone="UTC", origin=ORIGINS, form=True, **reload):
    @dag(
        dag_id=f"o{uuid.uuid4().hex}",
        schedule=schedule,
        start_date=pendulum.parse(start, tz=zone),
        catchup=True,
        params=reload_params(origin=origin, only=form),
        default_args={"retries": 3},
    )
    def built():
        reload_partitions(**{"there": lake_partitions(str(lake)), **reload})

    return built()


@pytest.fixture
def planned(run_of):
    """Return a function that makes the plan of a run of a DAG, triggered with a conf or by schedule."""
    seconds = itertools.count()

    def run(dag, conf=None, moment=TENTH, interval=None):
        by_hand = conf is not None
        moment = pendulum.datetime(2013, 1, 10, 12, second=next(seconds)) if by_hand else moment
        if interval is None and not by_hand:
            interval = (moment, moment if AIRFLOW_3 else moment.add(days=1))
        run = run_of(
            dag,
            logical_date=moment,
            data_interval=interval,
            run_type=DagRunType.MANUAL if by_hand else DagRunType.SCHEDULED,
            conf=conf,
        )
        run.run("lake_partitions")
        state, plan = run.run("reload_partitions")
        return [f"{one['origin']} {one['date'][8:]}" for one in plan] if state == "success" else state

    return run


class TestMissing:
    def test_of_the_dates_of_the_form_what_is_not_there_is_loaded(self, lake, put, planned):
        put({"origin": "EWR", "date": "2013-01-02"}, {"origin": "JFK", "date": "2013-01-01"})
        conf = {**DAYS, "only": "missing"}
        assert planned(a_dag(lake), conf) == ["EWR 01", "EWR 03", "JFK 02", "JFK 03"]

    def test_where_there_is_no_lake_yet_all_is(self, lake, planned):
        assert len(planned(a_dag(lake), {**DAYS, "only": "missing"})) == 6

    def test_where_all_is_there_nothing_is(self, lake, put, planned):
        put(*product(origin=ORIGINS, date=["2013-01-01", "2013-01-02", "2013-01-03"]))
        assert planned(a_dag(lake), {**DAYS, "only": "missing"}) == "skipped"

    def test_everything_is_loaded_whatever_is_there(self, lake, put, planned):
        put({"origin": "EWR", "date": "2013-01-02"})
        assert len(planned(a_dag(lake), DAYS)) == 6

    def test_a_lake_that_cannot_be_listed_loads_nothing(self, lake, planned):
        lake.write_bytes(b"")
        assert planned(a_dag(lake), {**DAYS, "only": "missing"}) != []
        assert planned(a_dag(lake), {**DAYS, "only": "missing"}) not in (None, "success")

    def test_a_list_that_is_not_there_is_not_an_empty_one(self, planned, lake, caplog):
        with caplog.at_level(logging.ERROR):
            assert planned(a_dag(lake, there="{{ none }}"), {**DAYS, "only": "missing"}) == "failed"
        assert "Nobody says what is there" in caplog.text

    def test_numbers_are_compared_as_keys(self, lake, put, planned):
        put({"origin": "1", "date": "2013-01-01"})
        conf = {**DAYS, "end_date": "2013-01-01", "only": "missing"}
        assert planned(a_dag(lake, origin=[1, 2]), conf) == ["2 01"]

    def test_what_is_left_may_be_few_of_very_many(self, lake, put, planned, monkeypatch):
        monkeypatch.setenv("AIRFLOW__CORE__MAX_MAP_LENGTH", "4")
        days = [pendulum.date(2013, 1, 1).add(days=n).isoformat() for n in range(300)]
        all_of_them = product(origin=ORIGINS, date=days)
        put(*(one for one in all_of_them if one["date"] != "2013-02-01"))
        conf = {"mode": "custom", "start_date": days[0], "end_date": days[-1], "only": "missing"}

        @dag(
            dag_id=f"o{uuid.uuid4().hex}",
            schedule=None,
            start_date=pendulum.datetime(2013, 1, 1),
            params=reload_params(origin=ORIGINS, only=True),
        )
        def mapped():
            @task
            def load(partition): ...

            load.expand(partition=reload_partitions(there=lake_partitions(str(lake))))

        assert planned(mapped(), conf) == ["EWR 01", "JFK 01"]
        shutil.rmtree(lake / "date=2013-03-01")
        shutil.rmtree(lake / "date=2013-04-01")
        assert planned(mapped(), conf) == "failed"


class TestLookback:
    """A scheduled run fills the gaps of the periods before its own."""

    def test_the_own_period_comes_first_then_the_oldest(self, lake, put, planned):
        put(
            *product(origin=ORIGINS, date=["2013-01-07", "2013-01-09"]),
            {"origin": "EWR", "date": "2013-01-06"},
        )
        dag = a_dag(lake, form=False, only="missing", lookback=4)
        assert planned(dag) == ["EWR 10", "JFK 10", "JFK 06", "EWR 08", "JFK 08"]

    def test_or_the_newest(self, lake, put, planned):
        put({"origin": "EWR", "date": "2013-01-09"})
        dag = a_dag(lake, form=False, only="missing", lookback=2, order="newest")
        assert planned(dag) == ["EWR 10", "JFK 10", "JFK 09", "EWR 08", "JFK 08"]

    def test_a_backlog_does_not_starve_the_day(self, lake, planned):
        for order, left in (
            ("oldest", ["EWR 05", "JFK 05", "EWR 06"]),
            ("newest", ["EWR 09", "JFK 09", "EWR 08"]),
        ):
            dag = a_dag(lake, form=False, only="missing", lookback=5, at_most=3, order=order)
            assert planned(dag) == ["EWR 10", "JFK 10", *left]

    def test_a_day_that_is_there_is_not_loaded_again(self, lake, put, planned):
        put(*product(origin=ORIGINS, date=["2013-01-10"]))
        assert planned(a_dag(lake, form=False, only="missing", lookback=1)) == ["EWR 09", "JFK 09"]

    def test_reaches_as_far_as_the_schedule_and_no_farther(self, lake, planned):
        dag = a_dag(lake, form=False, only="missing", lookback=400, start="2013-01-09", origin=["EWR"])
        # On Airflow 3 the first run is due at the start, and loads the day before.
        assert planned(dag) == ["EWR 10", *(["EWR 08"] if AIRFLOW_3 else []), "EWR 09"]

    def test_counts_in_mode_scheduled_alone(self, lake, planned):
        dag = a_dag(lake, only="missing", lookback=5, origin=["EWR"])
        assert planned(dag, {**DAYS, "only": "missing"}) == ["EWR 01", "EWR 02", "EWR 03"]
        assert planned(dag, DAYS) == ["EWR 01", "EWR 02", "EWR 03"]

    def test_follows_the_form_of_a_run_by_hand(self, lake, put, planned):
        put({"origin": "EWR", "date": "2013-01-09"})
        dag = a_dag(lake, lookback=1)
        assert planned(dag, {}) == ["EWR 09", "JFK 09"]
        assert planned(dag, {"only": "missing"}) == ["JFK 09", "EWR 08", "JFK 08"]
        # What a scheduled run does is what mode scheduled does.
        assert planned(a_dag(lake, only="missing", lookback=1), {}) == ["JFK 09", "EWR 08", "JFK 08"]

    def test_with_an_offset_they_are_those_before_it(self, lake, planned):
        dag = a_dag(lake, form=False, only="missing", lookback=2, offset=-3, origin=["EWR"])
        assert planned(dag) == ["EWR 07", "EWR 05", "EWR 06"]

    def test_hours_across_the_end_of_summer_in_berlin(self, lake, put, run_of):
        put({"origin": "EWR", "date": "2024-10-27T02+0200"})
        end = pendulum.parse("2024-10-27T03:00:00+01:00")
        dag = a_dag(
            lake,
            schedule=timedelta(hours=1),
            start="2024-10-26",
            zone="Europe/Berlin",
            form=False,
            only="missing",
            every="hour",
            lookback=3,
            order="newest",
            origin=["EWR"],
        )
        run = run_of(
            dag,
            logical_date=end if AIRFLOW_3 else end.subtract(hours=1),
            data_interval=(end if AIRFLOW_3 else end.subtract(hours=1), end),
            run_type=DagRunType.SCHEDULED,
        )
        run.run("lake_partitions")
        _, plan = run.run("reload_partitions")
        assert [one["date"] for one in plan] == [
            "2024-10-27T02+0100",
            "2024-10-27T01+0200",
            "2024-10-27T00+0200",
        ]

    def test_twice_as_many_days_are_looked_at_in_no_time(self, lake, planned):
        dag = a_dag(lake, form=False, only="missing", lookback=3650, at_most=1, start="2000-01-01")
        assert planned(dag)[:2] == ["EWR 10", "JFK 10"]


class TestAgain:
    """What a generator does that runs again."""

    def test_a_cleared_generator_makes_the_same_plan_of_the_same_answer(self, lake, put, run_of):
        dag = a_dag(lake, form=False, only="missing", lookback=2)
        run = run_of(
            dag,
            logical_date=TENTH,
            data_interval=(TENTH, TENTH if AIRFLOW_3 else TENTH.add(days=1)),
            run_type=DagRunType.SCHEDULED,
        )
        run.run("lake_partitions")
        first = run.run("reload_partitions")
        assert len(first[1]) == 6
        put(*first[1][:5])  # what was mapped over it has loaded this
        clear(dag, run.dag_run.get_task_instance("reload_partitions"))
        assert run.run("reload_partitions") == first
        # Who clears the listing too asks anew.
        clear(dag, run.dag_run.get_task_instance("lake_partitions"))
        run.run("lake_partitions")
        clear(dag, run.dag_run.get_task_instance("reload_partitions"))
        assert run.run("reload_partitions")[1] == first[1][5:]


class TestSelect:
    def conf(self, text, **more):
        return {**DAYS, "select": text, **more}

    @pytest.mark.parametrize(
        ("text", "selected"),
        [
            ("origin=JFK date=..2013-01-02", ["JFK 01", "JFK 02"]),
            ("date=2013-01-02", ["EWR 02", "JFK 02"]),
            ("date=2013-01-03/origin=EWR,date=2013-01-01/origin=JFK", ["EWR 03", "JFK 01"]),
            ("origin!=JFK date=*-03", ["EWR 03"]),
            ("  ", ["EWR 01", "EWR 02", "EWR 03", "JFK 01", "JFK 02", "JFK 03"]),
        ],
    )
    def test_some_of_the_partitions_of_the_form(self, lake, planned, text, selected):
        assert planned(a_dag(lake), self.conf(text)) == selected

    def test_and_of_these_what_is_missing(self, lake, put, planned):
        put({"origin": "JFK", "date": "2013-01-02"})
        assert planned(a_dag(lake), self.conf("origin=JFK", only="missing")) == ["JFK 01", "JFK 03"]

    def test_of_the_values_that_are_selected_in_the_form(self, lake, planned):
        assert planned(a_dag(lake), self.conf("date=2013-01-01", origin=["JFK"])) == ["JFK 01"]

    @pytest.mark.parametrize(
        ("conf", "said"),
        [
            ({**DAYS, "select": "origin=LGA"}, r"select='origin=LGA' matches none of the 6 partitions"),
            ({**DAYS, "select": "origin=EWR,,JFK"}, r"can't be read at character 12"),
            ({**DAYS, "select": "carrier=UA"}, r"no dimension 'carrier'"),
            ({"select": "origin=EWR"}, r"only used in mode custom"),
        ],
    )
    def test_that_cannot_be_is_an_error_that_says_so(self, lake, planned, caplog, conf, said):
        with caplog.at_level(logging.ERROR):
            assert planned(a_dag(lake), conf) == "failed"
        assert re.search(said, caplog.text)


class TestForm:
    def test_asks_for_it_in_words(self):
        params = scheduler_dag(a_dag("lake")).params
        schema = params.get_param("only").schema
        assert schema["enum"] == ["everything", "missing", "failed", "stale"]
        assert schema["values_display"]["failed"] == "what failed last time"
        assert list(params) == ["mode", "start_date", "end_date", "origin", "select", "only"] or AIRFLOW_3

    def test_of_a_dag_that_does_not_say_what_is_there_is_refused(self):
        with pytest.raises(PlanError, match=r"has to know what is there.*reload_params\(only=True\)"):
            a_dag("lake", there=None)

    def test_has_no_dimension_of_that_name(self):
        with pytest.raises(PartitionError, match="cannot be called 'only'"):
            reload_params(only=["a"])

    @pytest.mark.parametrize(
        ("reload", "said"),
        [
            ({"only": "lost"}, "only='lost' is unknown: choose one of everything, missing, failed, stale"),
            ({"only": "missing", "there": None}, "has to know what is there"),
            ({"only": "missing", "lookback": -1}, "lookback=-1"),
            ({"only": "missing", "lookback": 10**9}, "lookback=1000000000"),
            ({"only": "missing", "lookback": 1, "at_most": 0}, "at_most=0"),
            ({"only": "missing", "lookback": 1, "order": "random"}, "order='random' is unknown"),
            ({"only": "missing", "at_most": 3}, "say how many these are, lookback=7"),
            ({"lookback": 3}, "loads everything all the same"),
            ({}, "there=, and loads everything all the same"),
        ],
    )
    def test_what_cannot_be_is_refused_when_the_dag_is_parsed(self, reload, said):
        with pytest.raises((PartitionError, PlanError), match=re.escape(said)):
            a_dag("lake", form=False, **reload)

    def test_templates_are_read_when_the_run_is_there(self, lake, planned):
        dag = a_dag(lake, form=False, only="{{ 'missing' }}", lookback="{{ 1 }}", at_most="{{ 1 }}")
        assert planned(dag) == ["EWR 10", "JFK 10", "EWR 09"]


class TestFailed:
    """What failed last time, as Airflow knows it: by its tables on 2, through the supervisor of a task on 3."""

    def dag(self, failing, loaded, size=None):
        @dag(
            dag_id=f"f{uuid.uuid4().hex}",
            schedule=None,
            start_date=pendulum.datetime(2013, 1, 1),
            params=reload_params(origin=ORIGINS, only=True),
        )
        def built():
            plan = reload_partitions(there=[])
            if size:

                @task.batched
                def load(partition):
                    work(partition)

                load.expand(partition=batches(plan, batch_size=size))
            else:

                @task
                def load(partition):
                    work(partition)

                load.expand(partition=plan)

        def work(partition):
            name = f"{partition['origin']} {partition['date'][8:]}"
            if name in failing:
                raise ValueError(name)
            loaded.append(name)

        return built()

    @pytest.fixture
    def loads(self, dag_test):
        """Return a function that runs a DAG and returns what it has loaded."""

        def run(dag, loaded, fails, failing, **conf):
            loaded.clear()
            failing.clear()
            failing.update(fails)
            # In one process Airflow 2 keeps what the run before was given.
            dag_test(
                dag,
                run_conf={**DAYS, "only": "everything", "select": None, **conf},
                logical_date=pendulum.now("UTC"),
            )
            return sorted(loaded)

        return run

    def test_is_loaded_again_and_nothing_else(self, loads):
        failing, loaded = set(), []
        dag = self.dag(failing, loaded)
        assert loads(dag, loaded, {"EWR 01", "JFK 02"}, failing) == ["EWR 02", "EWR 03", "JFK 01", "JFK 03"]
        assert loads(dag, loaded, {"JFK 02"}, failing, only="failed") == ["EWR 01"]
        # What was loaded since has not failed last time.
        assert loads(dag, loaded, (), failing, only="failed") == ["JFK 02"]
        assert loads(dag, loaded, (), failing, only="failed") == []
        # It failed after it had been loaded.
        loads(dag, loaded, {"EWR 03"}, failing, start_date="2013-01-03")
        assert loads(dag, loaded, (), failing, only="failed", select="origin=JFK") == []
        assert loads(dag, loaded, (), failing, only="failed") == ["EWR 03"]

    def test_of_batches_it_is_their_items(self, loads):
        failing, loaded = set(), []
        dag = self.dag(failing, loaded, size=3)
        assert loads(dag, loaded, {"JFK 02"}, failing) == ["EWR 01", "EWR 02", "EWR 03", "JFK 01", "JFK 03"]
        assert loads(dag, loaded, (), failing, only="failed") == ["JFK 02"]

    def test_where_nothing_ever_ran_is_nothing(self, loads):
        loaded = []
        assert loads(self.dag(set(), loaded), loaded, (), set(), only="failed") == []

    def test_is_not_known_where_nothing_is_mapped_over_the_plan(self, planned, lake, caplog):
        with caplog.at_level(logging.ERROR):
            assert planned(a_dag(lake), {**DAYS, "only": "failed"}) == "failed"
        assert "Nothing is mapped over reload_partitions" in caplog.text


class TestStale:
    """What changed upstream since it was loaded: by the tables on 2, by what a task may ask for on 3."""

    @pytest.fixture
    def asset(self):
        return Asset(f"upstream_{uuid.uuid4().hex}")

    def dag(self, loaded, schedule=None, *, inlets=(), **reload):
        @dag(
            dag_id=f"s{uuid.uuid4().hex}",
            schedule=schedule,
            start_date=pendulum.datetime(2013, 1, 1),
            params=reload_params(origin=ORIGINS, only=True),
        )
        def built():
            @task(inlets=list(inlets))
            def load(partition):
                loaded.append(f"{partition['origin']} {partition['date'][8:]}")

            load.expand(partition=reload_partitions(there=[], **reload))

        return built()

    @pytest.fixture
    def loads(self, dag_test):
        """Return a function that runs a DAG and returns what it has loaded."""

        def run(dag, loaded, **conf):
            loaded.clear()
            dag_test(
                dag,
                run_conf={**DAYS, "only": "stale", "select": None, **conf},
                logical_date=pendulum.now("UTC"),
            )
            return sorted(loaded)

        return run

    def test_is_loaded_if_it_was_not_since_it_changed(self, asset, loads, tell):
        loaded = []
        dag = self.dag(loaded, [asset])
        assert loads(dag, loaded) == []
        # What changed and was never loaded is to be loaded as well.
        tell(asset, "date=2013-01-02/origin=EWR", "date=2013-01-09")
        assert loads(dag, loaded) == ["EWR 02"]
        assert loads(dag, loaded) == []
        assert len(loads(dag, loaded, only="everything")) == 6
        assert loads(dag, loaded) == []
        # What is finer, and what is coarser.
        tell(asset, "carrier=UA/date=2013-01-01/origin=JFK", "date=2013-01-03")
        assert loads(dag, loaded) == ["EWR 03", "JFK 01", "JFK 03"]
        assert loads(dag, loaded) == []
        tell(asset, "date=2013-01")
        assert loads(dag, loaded, select="origin=EWR") == ["EWR 01", "EWR 02", "EWR 03"]
        assert loads(dag, loaded) == ["JFK 01", "JFK 02", "JFK 03"]

    def test_by_inlets_and_where_events_come_by_an_alias(self, asset, loads, tell):
        alias, loaded = AssetAlias(f"alias_{asset.uri}"), []
        for one, by in ((self.dag(loaded, inlets=[asset]), None), (self.dag(loaded, [alias]), alias)):
            store(one)
            if by is None:
                tell(asset, "date=2013-01-02")
            elif not AIRFLOW_3:
                # Of an event by an alias Airflow 2.10 takes no list, so it can't say what changed.
                tell(asset, alias=by, dag_id=f"aliased_{asset.uri}")
                tell(asset, "date=2013-01-02")
            else:
                tell(asset, "date=2013-01-02", alias=by, dag_id=f"aliased_{asset.uri}")
            assert loads(one, loaded) == ["EWR 02", "JFK 02"]
            assert loads(one, loaded) == []

    def test_of_what_failed_since_it_is_loaded_again(self, asset, loads, tell, dag_test):
        loaded, failing = [], {"JFK 02"}

        @dag(
            dag_id=f"s{uuid.uuid4().hex}",
            schedule=[asset],
            start_date=pendulum.datetime(2013, 1, 1),
            params=reload_params(origin=ORIGINS, only=True),
        )
        def built():
            @task
            def load(partition):
                name = f"{partition['origin']} {partition['date'][8:]}"
                if name in failing:
                    raise ValueError(name)
                loaded.append(name)

            load.expand(partition=reload_partitions(there=[]))

        failing_dag = built()
        tell(asset, "date=2013-01-02")
        assert loads(failing_dag, loaded) == ["EWR 02"]
        failing.clear()
        assert loads(failing_dag, loaded) == ["JFK 02"]
        assert loads(failing_dag, loaded) == []

    def test_is_what_a_scheduled_run_loads_of_the_periods_it_looks_back_on(self, asset, run_of, tell):
        dag = self.dag([], "@daily", inlets=[asset], only="stale", lookback=3)
        tell(asset, "date=2013-01-08", "date=2013-01-10/origin=JFK", "date=2013-01-01")
        interval = (TENTH, TENTH if AIRFLOW_3 else TENTH.add(days=1))
        run = run_of(dag, logical_date=TENTH, data_interval=interval, run_type=DagRunType.SCHEDULED)
        state, plan = run.run("reload_partitions")
        assert state == "success"
        assert [f"{one['origin']} {one['date'][8:]}" for one in plan] == ["JFK 10", "EWR 08", "JFK 08"]

    def test_of_a_dag_that_reads_no_asset_is_refused_in_words(self, loads, caplog):
        loaded = []
        with caplog.at_level(logging.ERROR):
            assert loads(self.dag(loaded), loaded) == []
        assert (
            "load reads no asset, so nobody knows what changed upstream: schedule the DAG on assets"
            in caplog.text
        )

    def test_what_the_dag_changed_itself_is_not(self, asset, loads, dag_test, tell):
        loaded = []
        dag = self.dag(loaded, [asset])
        tell(asset, "date=2013-01-02", dag_id=dag.dag_id)
        assert loads(dag, loaded) == []
