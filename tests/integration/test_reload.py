from __future__ import annotations

import copy
import logging
import re
import tracemalloc
import uuid
from datetime import timedelta

import pendulum
import pytest
from airflow.timetables.base import DataInterval, TimeRestriction

from airflow_mapping_kit.exceptions import PartitionError
from airflow_mapping_kit.partitions import date_range
from airflow_mapping_kit.reload import reload_params, reload_partitions
from airflows import AIRFLOW_3, DagRunType, Param, ParamValidationError, dag, scheduler_dag, task


def a_dag(schedule=None, *, params=None, start=None, zone="UTC", **reload):
    @dag(
        dag_id=f"r{uuid.uuid4().hex}",
        schedule=schedule,
        start_date=start or pendulum.datetime(2013, 1, 1, tz=zone),
        catchup=True,
        params=params,
        default_args={"retries": 3},
    )
    def built():
        reload_partitions(**reload)

    return built()


def due(dag, count):
    """Return when the first runs that Airflow would schedule are for, and their data intervals.

    The first that count are due a period after the DAG's start: those that load its first period. Airflow 3, where
    runs are due at the start of a period, has one more before it.
    """
    timetable = scheduler_dag(dag).timetable
    restriction = TimeRestriction(earliest=dag.start_date, latest=None, catchup=True)
    found, last = [], None
    while len(found) < count:
        info = timetable.next_dagrun_info(last_automated_data_interval=last, restriction=restriction)
        last = info.data_interval
        if info.run_after > dag.start_date:
            found.append({"logical_date": info.logical_date, "data_interval": last})
    return found


@pytest.fixture
def scheduled(run_of):
    """Return a function that runs the generator for the first scheduled runs of a DAG and returns their plans."""

    def run(dag, count):
        plans = []
        for moment in due(dag, count):
            state, plan = run_of(dag, run_type=DagRunType.SCHEDULED, **moment).run("reload_partitions")
            plans.append([piece["date"] for piece in plan] if state == "success" else state)
        return plans

    return run


@pytest.fixture
def manual(run_of):
    """Return a function that triggers a DAG by hand at a moment, as Airflow does, and returns state and plan."""

    def run(dag, at="2013-01-10T12:00:00+00:00", conf=None):
        moment = pendulum.parse(at)
        return run_of(
            dag,
            run_type=DagRunType.MANUAL,
            logical_date=moment,
            data_interval=scheduler_dag(dag).timetable.infer_manual_data_interval(run_after=moment),
            conf=conf,
        ).run("reload_partitions")

    return run


class TestScheduled:
    """A scheduled run loads the periods that have ended within its interval."""

    def test_daily(self, scheduled):
        assert scheduled(a_dag("@daily"), 2) == [["2013-01-01"], ["2013-01-02"]]

    def test_daily_across_both_daylight_saving_changes_of_berlin(self, scheduled):
        for first in ("2024-03-30", "2024-10-26"):
            start = pendulum.parse(first, tz="Europe/Berlin")
            assert scheduled(a_dag("@daily", start=start), 3) == [
                [start.add(days=n).to_date_string()] for n in range(3)
            ]

    def test_hourly_across_the_day_of_25_hours_of_berlin(self, scheduled):
        start = pendulum.datetime(2024, 10, 27, 1, tz="Europe/Berlin")
        assert scheduled(a_dag(timedelta(hours=1), start=start, every="hour"), 4) == [
            ["2024-10-27T01+0200"],
            ["2024-10-27T02+0200"],
            ["2024-10-27T02+0100"],
            ["2024-10-27T03+0100"],
        ]

    def test_hourly_across_the_missing_hour_of_berlin(self, scheduled):
        start = pendulum.datetime(2024, 3, 31, 1, tz="Europe/Berlin")
        assert scheduled(a_dag(timedelta(hours=1), start=start, every="hour"), 2) == [
            ["2024-03-31T01+0100"],
            ["2024-03-31T03+0200"],
        ]

    def test_hourly_in_utc(self, scheduled):
        assert scheduled(a_dag("@hourly", every="hour"), 2) == [["2013-01-01T00"], ["2013-01-01T01"]]

    def test_weekly_loads_seven_days(self, scheduled):
        start = pendulum.datetime(2012, 12, 30, tz="UTC")  # a Sunday, where Airflow's @weekly begins
        first, second = scheduled(a_dag("@weekly", start=start), 2)
        assert first == [
            "2012-12-30",
            "2012-12-31",
            "2013-01-01",
            "2013-01-02",
            "2013-01-03",
            "2013-01-04",
            "2013-01-05",
        ]
        assert len(second) == 7
        assert second[0] == "2013-01-06"

    def test_monthly_can_be_one_month(self, scheduled):
        assert scheduled(a_dag("@monthly", every="month"), 2) == [["2013-01"], ["2013-02"]]

    def test_a_cron_of_its_own_zone(self, scheduled):
        dag = a_dag("0 0 * * *", zone="Europe/Berlin")
        assert scheduled(dag, 1) == [["2013-01-01"]]

    @pytest.mark.parametrize(
        ("schedule", "start", "every", "loaded"),
        [
            ("0 3 * * *", (1, 1, 3), "day", [["2013-01-01"], ["2013-01-02"]]),
            ("15 * * * *", (1, 1, 5, 15), "hour", [["2013-01-01T05"], ["2013-01-01T06"]]),
            ("0 6 2 * *", (1, 2, 6), "month", [["2013-01"], ["2013-02"]]),
            ("0 3 * * 1", (1, 7, 3), "week", [["2013-W02"], ["2013-W03"]]),
            ("0 3 * * 1-5", (1, 4, 3), "day", [["2013-01-04", "2013-01-05", "2013-01-06"], ["2013-01-07"]]),
            (timedelta(days=1), (1, 1, 12), "day", [["2013-01-01"], ["2013-01-02"]]),
            ("@weekly", (1, 6), "week", [["2013-W01"], ["2013-W02"]]),
        ],
    )
    def test_that_is_due_in_the_midst_of_a_period_loads_the_one_that_has_ended(
        self, scheduled, schedule, start, every, loaded
    ):
        assert scheduled(a_dag(schedule, start=pendulum.datetime(2013, *start), every=every), 2) == loaded

    @pytest.mark.parametrize(
        ("offset", "loaded"),
        [
            (-1, ["2013-01-03", "2013-01-04", "2013-01-05"]),
            ("{{ 1 }}", ["2013-01-05", "2013-01-06", "2013-01-07"]),
        ],
    )
    def test_an_offset_shifts_them_all_by_whole_periods(self, scheduled, offset, loaded):
        dag = a_dag("0 3 * * 1-5", start=pendulum.datetime(2013, 1, 4, 3), offset=offset)
        assert scheduled(dag, 1) == [loaded]

    def test_an_offset_of_hours_counts_those_that_the_clock_shows(self, scheduled):
        start = pendulum.datetime(2024, 10, 27, 3, tz="Europe/Berlin")
        dag = a_dag(timedelta(hours=1), start=start, every="hour", offset=-2)
        assert scheduled(dag, 1) == [["2024-10-27T02+0200"]]

    def test_a_cron_that_is_due_on_working_days_alone(self, scheduled):
        assert scheduled(a_dag("0 0 * * MON-FRI", start=pendulum.datetime(2013, 1, 3)), 3) == [
            ["2013-01-03"],
            ["2013-01-04", "2013-01-05", "2013-01-06"],
            ["2013-01-07"],
        ]

    def test_an_interval_in_which_no_period_ends_is_skipped(self, scheduled):
        plans = scheduled(a_dag("@hourly", start=pendulum.datetime(2013, 1, 1, 22)), 4)
        assert plans == ["skipped", ["2013-01-01"], "skipped", "skipped"]

    def test_an_empty_interval_loads_the_last_period_that_ended(self, run_of):
        moment = pendulum.datetime(2013, 1, 5, tz="UTC")
        run = run_of(
            a_dag("@daily"),
            run_type=DagRunType.SCHEDULED,
            logical_date=moment,
            data_interval=DataInterval.exact(moment),
        )
        assert run.run("reload_partitions")[1] == [{"date": "2013-01-04"}]

    def test_a_dimension_multiplies_it_with_the_period_fastest(self, run_of):
        dag = a_dag(
            "@weekly", start=pendulum.datetime(2012, 12, 30), params=reload_params(origin=["EWR", "JFK"])
        )
        (moment,) = due(dag, 1)
        _, plan = run_of(dag, run_type=DagRunType.SCHEDULED, **moment).run("reload_partitions")
        assert len(plan) == 14
        assert plan[:2] == [{"origin": "EWR", "date": "2012-12-30"}, {"origin": "EWR", "date": "2012-12-31"}]


class TestByHand:
    """A run without an interval of its own loads the last period that ended by its logical date."""

    @pytest.mark.parametrize("schedule", [None, "@daily", "@weekly", "0 6 * * *"])
    def test_is_the_day_before_whatever_the_schedule(self, manual, schedule):
        assert manual(a_dag(schedule), "2013-01-10T12:00:00+00:00") == ("success", [{"date": "2013-01-09"}])

    @pytest.mark.parametrize("schedule", ["@daily", "0 * * * *", "@weekly", "0 6 * * *"])
    @pytest.mark.parametrize("kind", ["operator_triggered", "asset_materialization"])
    def test_is_the_same_where_a_task_or_an_asset_started_the_run(self, run_of, schedule, kind):
        # Airflow 2 calls all of these manual.
        run_type = next((one for one in DagRunType if one.value == kind), DagRunType.MANUAL)
        run = run_of(a_dag(schedule), logical_date=pendulum.datetime(2013, 1, 10, 12), run_type=run_type)
        assert run.run("reload_partitions") == ("success", [{"date": "2013-01-09"}])

    def test_at_the_very_end_of_a_day_is_that_day(self, manual):
        assert manual(a_dag(), "2013-01-10T00:00:00+00:00")[1] == [{"date": "2013-01-09"}]

    @pytest.mark.skipif(not AIRFLOW_3, reason="every run of Airflow 2 has a logical date")
    @pytest.mark.parametrize("schedule", [None, "@daily"])
    def test_without_a_logical_date_is_the_day_before_it_was_due(self, run_of, schedule):
        run = run_of(a_dag(schedule), due=pendulum.datetime(2013, 1, 10, 12))
        assert run.run("reload_partitions") == ("success", [{"date": "2013-01-09"}])

    @pytest.mark.parametrize(
        ("every", "period"),
        [
            ("hour", "2013-01-10T11"),
            ("week", "2013-W01"),
            ("month", "2012-12"),
            ("quarter", "2012-Q4"),
            ("year", "2012"),
        ],
    )
    def test_takes_the_last_whole_period_of_any_length(self, manual, every, period):
        assert manual(a_dag(every=every))[1] == [{"date": period}]

    def test_reads_the_day_in_the_zone_of_the_dag(self, manual):
        assert manual(a_dag(zone="Asia/Tokyo"), "2013-01-10T16:00:00+00:00")[1] == [{"date": "2013-01-10"}]

    def test_reads_the_day_in_the_zone_that_is_asked_for(self, manual):
        dag = a_dag(zone="UTC", timezone="Asia/Tokyo")
        assert manual(dag, "2013-01-10T16:00:00+00:00")[1] == [{"date": "2013-01-10"}]


class TestCustom:
    DATES = {"mode": "custom", "start_date": "2013-01-30", "end_date": "2013-02-01"}

    def test_loads_the_dates_of_the_form_both_included(self, manual):
        dag = a_dag("@daily", params=reload_params(origin=["EWR", "JFK"]))
        _, plan = manual(dag, conf={**self.DATES, "origin": ["JFK"]})
        assert plan == [{"origin": "JFK", "date": d} for d in ("2013-01-30", "2013-01-31", "2013-02-01")]

    @pytest.mark.parametrize(
        ("mode", "first", "last"),
        [
            ("yesterday", "2013-02-28", "2013-02-28"),
            ("last_7_days", "2013-02-22", "2013-02-28"),
            ("last_30_days", "2013-01-30", "2013-02-28"),
            ("this_month", "2013-03-01", "2013-03-01"),
            ("last_month", "2013-02-01", "2013-02-28"),
        ],
    )
    def test_a_preset_names_dates_as_seen_from_the_run_in_its_zone(self, manual, mode, first, last):
        # In New York it is still the first of March.
        dag = a_dag("@daily", params=reload_params(), zone="America/New_York")
        _, plan = manual(dag, "2013-03-02T03:00:00+00:00", {"mode": mode})
        assert [piece["date"] for piece in plan] == date_range(first, last)

    def test_of_a_preset_some_partitions_can_be_selected(self, manual):
        dag = a_dag("@daily", params=reload_params(origin=["EWR", "JFK"]))
        _, plan = manual(dag, conf={"mode": "last_7_days", "select": "origin=JFK date=2013-01-05.."})
        assert [tuple(piece.values()) for piece in plan] == [
            ("JFK", f"2013-01-0{day}") for day in range(5, 10)
        ]

    def test_an_end_before_the_start_is_one_clear_error_before_anything_else(self, manual, caplog):
        dag = a_dag("@daily", params=reload_params(origin=["EWR"]))
        state, _ = manual(dag, conf={**self.DATES, "end_date": "2013-01-03", "select": "not one =="})
        assert state == "failed"
        assert "end_date='2013-01-03' is before start_date='2013-01-30': nothing was loaded" in caplog.text

    def test_the_form_says_how_many_partitions_a_period_is(self):
        form = reload_params(origin=["EWR", "JFK"], carrier=["UA", "AA", "DL"])
        assert (
            "With all values of origin × carrier selected, each period has 6 partitions."
            in form["mode"].description
        )
        assert "partitions" not in reload_params(customer=[])["mode"].description

    def test_loads_every_hour_of_the_last_date(self, manual):
        _, plan = manual(
            a_dag(every="hour", params=reload_params()), conf={**self.DATES, "start_date": "2013-02-01"}
        )
        assert [plan[0]["date"], plan[-1]["date"], len(plan)] == ["2013-02-01T00", "2013-02-01T23", 24]

    def test_a_year_mistyped_is_refused_before_any_partition_is_made(self, manual, caplog):
        @dag(
            dag_id=f"r{uuid.uuid4().hex}",
            schedule=None,
            start_date=pendulum.datetime(2013, 1, 1),
            params=reload_params(store=list(range(30))),
        )
        def built():
            @task
            def load(partition): ...

            load.expand(partition=reload_partitions())

        conf = {"mode": "custom", "start_date": "0213-01-01", "end_date": "2013-01-31"}
        tracemalloc.start()
        with caplog.at_level(logging.ERROR):
            assert manual(built(), conf=conf)[0] == "failed"
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert (
            "the days from '0213-01-01' to '2013-01-31', each 30 times, are 19,724,040 pieces" in caplog.text
        )
        assert "a plan may have at most 1,000,000" in caplog.text
        assert peak < 30_000_000

    def test_finds_numbers_by_the_text_that_the_form_sends(self, manual):
        dag = a_dag(params=reload_params(year=[1952, 2007], share=[0.5]), date_dimension="day")
        _, plan = manual(dag, conf={"year": ["2007"]})
        assert plan == [{"year": 2007, "share": 0.5, "day": "2013-01-09"}]

    def test_finds_numbers_that_an_api_call_sends(self, manual):
        assert (
            manual(a_dag(params=reload_params(year=[1952, 2007])), conf={"year": [1952]})[1][0]["year"]
            == 1952
        )

    @pytest.mark.parametrize(
        ("conf", "named"),
        [
            ({"mode": "custom"}, "start_date=None, end_date=None"),
            ({"mode": "custom", "start_date": "2013-01-01"}, "end_date=None"),
            ({"mode": "custom", "start_date": "2013-02-01", "end_date": "2013-01-01"}, "2013-02-01"),
            ({"start_date": "2013-01-01", "end_date": "2013-01-02"}, "Choose mode custom"),
        ],
    )
    def test_dates_that_do_not_fit_fail_at_once_and_are_named(self, manual, caplog, conf, named):
        with caplog.at_level(logging.ERROR):
            assert manual(a_dag(params=reload_params(origin=["EWR"])), conf=conf)[0] == "failed"
        assert named in caplog.text

    @pytest.mark.parametrize(
        "conf",
        [{"origin": ["LHR"]}, {"origin": []}, {"origin": "EWR"}, {"mode": "reload"}, {"start_date": "soon"}],
    )
    def test_what_the_form_does_not_offer_never_becomes_a_run(self, conf):
        params = copy.deepcopy(a_dag(params=reload_params(origin=["EWR"])).params)
        with pytest.raises(ParamValidationError):
            params.update(conf)


class TestRuntimeDimensions:
    """Lists that are known only at run time."""

    def dag(self, **params):
        @dag(
            dag_id=f"r{uuid.uuid4().hex}",
            schedule=None,
            start_date=pendulum.datetime(2013, 1, 1),
            params=reload_params(**params),
            default_args={"retries": 3},
        )
        def built():
            @task
            def countries():
                return ["Chad", "Peru", "{{ 1 }}"]

            reload_partitions(country=countries())

        return built()

    @pytest.fixture
    def plan_of(self, run_of):
        def run(dag, conf=None):
            run = run_of(dag, logical_date=pendulum.datetime(2013, 1, 2), conf=conf)
            run.run("countries")
            state, plan = run.run("reload_partitions")
            return state, plan and [piece["country"] for piece in plan]

        return run

    def test_are_all_loaded_where_the_form_does_not_know_them(self, plan_of):
        assert plan_of(self.dag()) == ("success", ["Chad", "Peru", "{{ 1 }}"])

    def test_are_all_loaded_where_the_form_is_left_empty(self, plan_of):
        assert plan_of(self.dag(country=[]))[1] == ["Chad", "Peru", "{{ 1 }}"]

    def test_are_filtered_by_what_the_form_selected(self, plan_of):
        assert plan_of(self.dag(country=[]), {"country": ["Peru"]})[1] == ["Peru"]

    def test_that_lack_what_was_selected_fail_at_once_and_name_it(self, plan_of, caplog):
        with caplog.at_level(logging.ERROR):
            assert plan_of(self.dag(country=[]), {"country": ["Atlantis"]})[0] == "failed"
        assert "country='Atlantis' does not exist: select among Chad, Peru" in caplog.text

    @pytest.mark.parametrize(
        ("value", "named"), [("acme", r"single value 'acme': write it as a list"), (None, "None, not a list")]
    )
    def test_that_are_no_list_fail_at_once_and_are_named(self, manual, caplog, value, named):
        with caplog.at_level(logging.ERROR):
            assert manual(a_dag(customer=value))[0] == "failed"
        assert named in caplog.text

    def test_may_be_a_template_that_leaves_text(self, manual):
        dag = a_dag(customer="{{ params.customers }}", params={"customers": ["acme", "it's"]})
        assert [piece["customer"] for piece in manual(dag)[1]] == ["acme", "it's"]

    def test_that_are_empty_leave_nothing_to_do(self, run_of):
        @dag(dag_id=f"r{uuid.uuid4().hex}", schedule=None, start_date=pendulum.datetime(2013, 1, 1))
        def built():
            @task
            def customers():
                return []

            reload_partitions(customer=customers())

        run = run_of(built())
        run.run("customers")
        assert run.run("reload_partitions") == ("skipped", None)

    @pytest.mark.parametrize(
        "bad", [{"every": "dekad"}, {"timezone": "Mars/Base"}, {"offset": [1]}, {"offset": 10**9}]
    )
    def test_an_unknown_cadence_zone_or_offset_is_refused_when_the_dag_is_parsed(self, bad):
        with pytest.raises(PartitionError, match=re.escape(str(next(iter(bad.values()))))):
            a_dag(**bad)

    def test_an_unknown_cadence_known_only_at_run_time_fails_at_once(self, manual, caplog):
        with caplog.at_level(logging.ERROR):
            assert manual(a_dag(every="{{ 'dekad' }}"))[0] == "failed"
        assert "dekad" in caplog.text


class TestForm:
    def test_combines_with_other_params(self, manual):
        params = {**reload_params(origin=["EWR"]), "events": Param(10)}
        assert list(params) == ["mode", "start_date", "end_date", "origin", "select", "events"]
        assert manual(a_dag(params=params))[1] == [{"origin": "EWR", "date": "2013-01-09"}]

    def test_survives_serialization(self):
        dag = scheduler_dag(a_dag(params=reload_params(origin=["EWR", "JFK"])))
        schema = dag.params.get_param("origin").schema
        assert (schema["type"], schema["examples"]) == ("array", ["EWR", "JFK"])

    def test_params_of_the_dags_own_are_no_form(self, manual):
        dag = a_dag(params={"mode": "custom", "start_date": "tomorrow", "origins": ["EWR"]})
        assert manual(dag) == ("success", [{"date": "2013-01-09"}])

    @pytest.mark.parametrize("name", ["ds", "run_id", "params", "task"])
    def test_dimensions_and_the_period_may_have_names_of_airflows_context(self, manual, name):
        dag = a_dag(params=reload_params(**{name: ["a", "b"]}), date_dimension="ts")
        _, plan = manual(dag, conf={name: ["b"]})
        assert plan == [{name: "b", "ts": "2013-01-09"}]

    @pytest.mark.parametrize("name", ["mode", "start_date", "end_date", "select"])
    def test_a_dimension_with_a_name_that_is_taken_is_refused_when_the_dag_is_parsed(self, name):
        with pytest.raises(PartitionError, match=f"cannot be called '{name}'"):
            reload_params(**{name: ["a"]})

    @pytest.mark.parametrize("values", [["EWR", "EWR"], [1, "1"], [["EWR"]], [""], "EWR"])
    def test_values_that_make_no_partition_are_refused_when_the_dag_is_parsed(self, values):
        with pytest.raises(PartitionError):
            reload_params(origin=values)

    def test_a_list_known_at_run_time_must_be_given(self, manual, caplog):
        with caplog.at_level(logging.ERROR):
            assert manual(a_dag(params=reload_params(country=[])))[0] == "failed"
        assert "reload_partitions(country=...)" in caplog.text

    def test_a_dimension_with_the_name_of_the_period_is_refused(self, manual, caplog):
        with caplog.at_level(logging.ERROR):
            assert manual(a_dag(params=reload_params(date=["a"])))[0] == "failed"
        assert "'date' is both a dimension and the name of the period" in caplog.text
