"""Over any schedule, each period that has ended is loaded by exactly one of consecutive scheduled runs."""

from __future__ import annotations

import itertools
import uuid
from datetime import datetime, timedelta
from types import SimpleNamespace

import pendulum
import pytest
from airflow.timetables.base import TimeRestriction
from dateutil.relativedelta import relativedelta
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from airflow_mapping_kit.cli.imagined import imagined_run
from airflow_mapping_kit.compat import running_in
from airflow_mapping_kit.partitions import date_range, time_window
from airflow_mapping_kit.reload import reload_partitions
from airflows import (
    AIRFLOW_3,
    CronDataIntervalTimetable,
    CronTriggerTimetable,
    DeltaTriggerTimetable,
    EventsTimetable,
    MultipleCronTriggerTimetable,
    dag,
    scheduler_dag,
)

ZONES = [
    "UTC",
    "Europe/Berlin",
    "America/New_York",
    "Asia/Kolkata",
    "Australia/Lord_Howe",
    "America/Sao_Paulo",
]
LONGEST = {
    "15min": timedelta(hours=1),
    "*/20 * * * *": timedelta(hours=1),
    "30 1 * * *": timedelta(days=3),
    "0 6 * * 1-5": timedelta(days=6),
    "hour": timedelta(hours=3),
    "day": timedelta(days=3),
    "week": timedelta(days=15),
    "month": timedelta(days=63),
    "quarter": timedelta(days=186),
    "year": timedelta(days=740),
}

MINUTES = ["15min", "*/20 * * * *"]


def a_dag(schedule, start, **reload):
    @dag(dag_id=f"s{uuid.uuid4().hex}", schedule=schedule, start_date=start, catchup=True)
    def built():
        reload_partitions(**reload)

    return built()


def runs_of(dag, number):
    """Return the first scheduled runs of a DAG as the scheduler would make them."""
    timetable = scheduler_dag(dag).timetable
    restriction = TimeRestriction(earliest=dag.start_date, latest=None, catchup=True)
    last, runs = None, []
    for _ in range(number):
        info = timetable.next_dagrun_info(last_automated_data_interval=last, restriction=restriction)
        if info is None:
            break
        last = info.data_interval
        # The database keeps moments in UTC.
        runs.append(
            (pendulum.instance(last.start).in_timezone("UTC"), pendulum.instance(last.end).in_timezone("UTC"))
        )
    return runs


def loaded(dag, begin, end, run_type="scheduled", due=None, **context):
    """Return the periods that the scheduled run of a data interval loads."""
    operator = dag.get_task("reload_partitions")
    run = SimpleNamespace(run_type=run_type, logical_date=begin, run_after=due or end)
    context = {
        "dag": dag,
        "dag_run": run,
        "params": {},
        "data_interval_start": begin,
        "data_interval_end": end,
        **context,
    }
    with running_in(context):
        return [piece["date"] for piece in operator.made_of((), operator.op_kwargs)]


def ended_between(start, end, every, zone):
    """Return the periods that end after `start` and by `end`, found among all around them."""
    candidates = date_range(start - LONGEST[every], end + LONGEST[every], every=every, timezone=zone)
    ends = [datetime.fromisoformat(time_window(key, every=every, timezone=zone)["end"]) for key in candidates]
    return [key for key, ends_at in zip(candidates, ends, strict=True) if start < ends_at <= end]


minutes = st.sampled_from(["0", "15", "*/20", "59"])
hours = st.sampled_from(["0", "3", "5-21", "*/6", "1,2,3", "23"])
days = st.sampled_from(
    ["* * *", "2 * *", "1 * *", "* * 1-5", "* * MON", "31 * *", "1 1 *", "*/2 * *", "* 2-4 SUN"]
)
# Airflow itself loses its way where every hour of some days only is due and the clock changes in between.
crons = st.tuples(minutes, st.just("*"), st.just("* * *")) | st.tuples(minutes, hours, days)
crons = crons.map(" ".join)
deltas = st.sampled_from(
    [
        timedelta(hours=1),
        timedelta(minutes=50),
        timedelta(days=1),
        timedelta(hours=36),
        relativedelta(days=2, hours=5),
    ]
)
starts = st.datetimes(datetime(2023, 1, 1), datetime(2025, 12, 31)).map(
    lambda moment: moment.replace(minute=moment.minute // 15 * 15, second=0, microsecond=0)
)


@st.composite
def schedules(draw):
    zone = draw(st.sampled_from(ZONES))
    start = pendulum.instance(draw(starts), tz=zone)

    def events(gaps):
        dates = [start.add(minutes=minutes) for minutes in itertools.accumulate(gaps)]
        return EventsTimetable(event_dates=dates, presorted=True)

    kinds = [
        crons,
        deltas,
        crons.map(lambda cron: CronDataIntervalTimetable(cron, timezone=zone)),
        crons.map(lambda cron: CronTriggerTimetable(cron, timezone=zone)),
        st.lists(st.integers(1, 60 * 24 * 40), min_size=4, max_size=8).map(events),
    ]
    if DeltaTriggerTimetable:
        kinds.append(deltas.map(DeltaTriggerTimetable))
    if MultipleCronTriggerTimetable:
        several = st.lists(crons, min_size=2, max_size=3)
        kinds.append(several.map(lambda crons: MultipleCronTriggerTimetable(*crons, timezone=zone)))
    return draw(st.one_of(kinds)), start


@settings(max_examples=150)
@given(schedules(), st.sampled_from(list(LONGEST)), st.none() | st.sampled_from(ZONES))
def test_each_ended_period_is_loaded_by_exactly_one_of_consecutive_runs(schedule, every, zone):
    schedule, start = schedule
    dag = a_dag(schedule, start, every=every, **({"timezone": zone} if zone else {}))
    before, *runs = runs_of(dag, 8)
    # Around some changes of the clock, that of Lord Howe by half an hour, Airflow's own crons go in circles.
    assume(all(one < other for (_, one), (_, other) in itertools.pairwise([before, *runs])))
    zone = zone or start.timezone_name
    _, since = before
    _, until = runs[-1]
    assume(every not in ("hour", *MINUTES) or until - since < timedelta(days=60 if every == "hour" else 10))
    assert [key for run in runs for key in loaded(dag, *run)] == ended_between(since, until, every, zone)


@pytest.mark.parametrize(
    ("schedule", "every", "loaded_by_a_run"),
    [
        (
            CronTriggerTimetable("0 3 * * 1", timezone="UTC"),
            "day",
            [f"2024-01-{day:02}" for day in range(1, 8)],
        ),
        (CronTriggerTimetable("0 3 8 * *", timezone="UTC"), "month", ["2023-12"]),
        # What its author says a run is about.
        (
            CronTriggerTimetable("0 3 * * 1", timezone="UTC", interval=timedelta(days=2)),
            "day",
            ["2024-01-06", "2024-01-07"],
        ),
        (
            EventsTimetable([pendulum.datetime(2024, 1, 5, 9), pendulum.datetime(2024, 1, 8, 3)]),
            "day",
            ["2024-01-05", "2024-01-06", "2024-01-07"],
        ),
        # Neither was ever due before.
        (EventsTimetable([pendulum.datetime(2024, 1, 8, 3)]), "day", ["2024-01-07"]),
        ("@once", "day", ["2024-01-07"]),
        # An event of February 29 is years after the one before.
        (CronTriggerTimetable("0 3 29 2 *", timezone="UTC"), "year", ["2020", "2021", "2022", "2023"]),
    ],
)
def test_a_run_with_an_empty_interval_loads_what_ended_since_the_schedule_was_due(
    schedule, every, loaded_by_a_run
):
    year = every == "year"
    dag = a_dag(schedule, pendulum.datetime(2024, 1, 8 if not year else 9, 3), every=every)
    ((begin, end),) = runs_of(dag, 1)
    assert end == (pendulum.datetime(2024, 2, 29, 3) if year else pendulum.datetime(2024, 1, 8, 3))
    assert loaded(dag, begin, end) == loaded_by_a_run


@pytest.mark.parametrize(
    "schedule",
    [
        CronTriggerTimetable("0 3 * * 1", timezone="UTC"),
        EventsTimetable([pendulum.datetime(2024, 1, day, 3) for day in (1, 8)]),
    ],
)
def test_the_run_that_a_date_stands_for_is_foreseen_where_intervals_are_empty(schedule):
    moment = pendulum.datetime(2024, 1, 8, 3)
    dag = a_dag(schedule, pendulum.datetime(2024, 1, 1))
    foreseen = imagined_run(dag, None, moment)
    assert foreseen.run_type == "scheduled"
    with running_in(foreseen.context):
        plan = dag.get_task("reload_partitions").made_of((), {})
    assert [piece["date"] for piece in plan] == date_range("2024-01-01", "2024-01-07")


@pytest.mark.skipif(not DeltaTriggerTimetable, reason="from Airflow 2.11 on")
def test_a_month_after_the_end_of_january_leaves_no_day_out():
    # 28 January is loaded twice: that the run before was due on the 29th can't be told from one on the 28th.
    dag = a_dag(DeltaTriggerTimetable(relativedelta(months=1)), pendulum.datetime(2023, 1, 29))
    _, february, march = runs_of(dag, 3)
    days = [loaded(dag, *run) for run in (february, march)]
    assert days == [date_range("2023-01-28", "2023-02-27"), date_range("2023-02-28", "2023-03-27")]


@pytest.mark.skipif(not AIRFLOW_3, reason="Airflow 2 has no runs for partitions of time")
def test_the_run_for_a_partition_loads_the_same_by_schedule_and_as_a_backfill():
    from airflow.sdk import CronPartitionTimetable

    dag = a_dag(
        CronPartitionTimetable("0 3 * * *", timezone="UTC", run_offset=-1), pendulum.datetime(2024, 1, 1)
    )
    due, partition = pendulum.datetime(2024, 1, 8, 3), pendulum.datetime(2024, 1, 7, 3)
    assert loaded(dag, None, None, due=due, partition_date=partition) == ["2024-01-07"]
    assert loaded(dag, None, None, due=partition, partition_date=partition, run_type="backfill") == [
        "2024-01-07"
    ]
