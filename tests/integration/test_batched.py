"""Batches in a DAG: what a retry finds done, what becomes of every item, and what follows."""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
import time
import uuid
from contextlib import nullcontext
from itertools import groupby

import pendulum
import pytest
from airflow.models.taskinstance import TaskInstance

import airflows
from airflow_mapping_kit.checkpoints.progress import SAVE_SECONDS
from airflow_mapping_kit.fan_in import collect
from airflow_mapping_kit.generators import batches
from airflow_mapping_kit.labels import label
from airflow_mapping_kit.operators.batched import BatchedOperator, batched
from airflow_mapping_kit.operators.duckdb import DuckDBPartitionOperator
from airflows import (
    AIRFLOW_3,
    DAG,
    AirflowFailException,
    AirflowSkipException,
    create_session,
    task,
    task_group,
)

DONE: list[object] = []
BROKEN: set[object] = set()
TEXTS = {"nul": "a\0b", "half": ["\ud83d"], "escaped": "\\u0000 \\ud83d 😀"}
HANGS = threading.Event()


@pytest.fixture(autouse=True)
def counted():
    """Forget what was done before, and let go what hangs afterwards."""
    DONE.clear()
    BROKEN.clear()
    HANGS.clear()
    yield
    HANGS.set()


def work(x):
    """Count, and become what x says."""
    DONE.append(x)
    if x in BROKEN:
        raise ValueError(f"{x} is broken")
    if x == "skip":
        raise AirflowSkipException("nothing to do")
    if x == "third" and DONE.count(x) < 3:
        raise ConnectionError("again")
    if x == "hang":
        HANGS.wait(60)
    if x == "exit":
        sys.exit(3)
    if x == "interrupt":
        raise KeyboardInterrupt
    if x == "set":
        return {object()}
    if x == "large":
        return "x" * 2_000_000
    if x in TEXTS:
        return TEXTS[x]
    return None if x == "none" else f"did {x}"


@task
def plan(pieces):
    return pieces


class End:
    """A run that `dag.test` ended."""

    def __init__(self, build, **options):
        start = pendulum.datetime(2024, 1, 1)
        with DAG(f"b{uuid.uuid4().hex}", schedule=None, start_date=start, **options) as self.dag:
            build()
        self.run = airflows.dag_test(self.dag)

    def instance(self, task_id, map_index=-1):
        return self.run.get_task_instance(task_id, map_index=map_index)

    def xcom(self, task_id, map_index=-1):
        return airflows.xcom_of(self.run, task_id, map_index=map_index)

    def rows(self, task_id):
        return [(row["key"], row["state"], row["value"]) for row in self.xcom(task_id)["results"]]

    def saved(self, task_id):
        """Return which items a checkpoint keeps."""
        with create_session() as session:
            if AIRFLOW_3:
                from airflow.models.task_state_store import TaskStateStoreModel as Model

                mine = (Model.task_id == task_id, Model.key.startswith("mapping_kit/"))
            else:
                from airflow.models.xcom import XCom as Model

                mine = (Model.key.startswith(f"mapping_kit/{task_id}/"),)
            found = session.query(Model).filter(
                Model.run_id == self.run.run_id, Model.dag_id == self.dag.dag_id, *mine
            )
            chunks = [json.loads(one.value) if AIRFLOW_3 else one.value for one in found]
        return sorted(json.loads(line)["key"] for chunk in chunks for line in chunk.split("\n"))

    def again(self, task_id, map_index=-1, *, cleared=False):
        """Run an instance once more, as a retry does, or as Airflow does when somebody has cleared it."""
        if cleared:
            airflows.clear(self.dag, self.instance(task_id, map_index))
        return airflows.run_alone(self.dag, self.instance(task_id, map_index))


@pytest.fixture
def run(metadata_db):
    """Return a function that runs a DAG which a function builds."""
    return End


def collected(pieces, *, size=3, tolerated=100, **settings):
    """Build `work`, batched over a plan, with its fan-in."""

    def build():
        mapped = batched(**{"concurrency": 2, **settings})(work).expand(
            x=batches(plan(pieces), batch_size=size)
        )
        collect(mapped, task_id="all", tolerated_failure_percentage=tolerated)

    return build


class TestItemsInTheFanIn:
    def test_are_rows_of_their_own_whatever_became_of_them(self, run):
        BROKEN.add("broken")
        kinds = [
            "a",
            "none",
            "skip",
            "third",
            "broken",
            "hang",
            "set",
            "large",
            "exit",
            "interrupt",
            "a",
            *TEXTS,
        ]
        settings = {"item_retries": 2, "item_retry_delay": 0.01, "item_timeout": 0.3}
        end = run(collected(kinds, size=4, **settings))
        rows = end.xcom("all")["results"]
        assert [(row["key"], row["state"], row["value"], row["try_number"]) for row in rows] == [
            ("x=a", "success", "did a", 1),
            ("x=none", "success", None, 1),
            ("x=skip", "skipped", None, 1),
            ("x=third", "success", "did third", 3),
            ("x=broken", "failed", None, 3),
            ("x=hang", "failed", None, 1),
            ("x=set", "failed", None, 1),
            ("x=large", "failed", None, 1),
            ("x=exit", "failed", None, 1),
            ("x=interrupt", "failed", None, 1),
            ("x=a#2", "success", "did a", 1),
            # The API and the JSON columns of Airflow 3 refuse them, and with them the results of the whole batch.
            ("x=nul", "failed", None, 1) if AIRFLOW_3 else ("x=nul", "success", "a\ufffdb", 1),
            ("x=half", "failed", None, 1) if AIRFLOW_3 else ("x=half", "success", ["\ufffd"], 1),
            ("x=escaped", "success", TEXTS["escaped"], 1),
        ]
        errors = {row["key"]: row["error"] for row in rows if row["error"]}
        assert errors["x=broken"] == {"type": "ValueError", "message": "broken is broken"}
        assert errors["x=hang"] == {
            "type": "ItemTimeout",
            "message": "no result after 0.3 s (item_timeout), and the call could not be ended",
        }
        assert errors["x=set"]["message"].startswith(
            "the item was worked on, but its result is not kept: set"
        )
        assert "of 1,953 KiB is not kept" in errors["x=large"]["message"]
        assert errors["x=exit"] == {"type": "SystemExit", "message": "3"}
        assert errors["x=interrupt"] == {"type": "KeyboardInterrupt", "message": ""}
        assert [row["map_index"] for row in rows] == [0] * 4 + [1] * 4 + [2] * 4 + [3] * 2
        own = {row["key"]: row["value"] for index in (2, 3) for row in end.xcom("work", index)}
        if not AIRFLOW_3:
            assert (own["x=nul"], own["x=half"]) == ("a\0b", ["\ud83d"])
        else:
            assert "str can't be an XCom (text with the character NUL" in errors["x=nul"]["message"]
            assert "half a surrogate pair, '\\ud83d'" in errors["x=half"]["message"]

    def test_of_instances_that_say_what_they_hold(self, run):
        end = run(collected([{"origin": o, "n": n} for o in ("EWR", "JFK") for n in (1, 2)], size=3,
                            map_index_template=label("{origin} {n}")))  # fmt: skip
        assert end.instance("work", 0).rendered_map_index == "items 1–3 of 4: EWR 1 … JFK 1"
        assert end.instance("work", 1).rendered_map_index == "item 4 of 4: JFK 2"
        assert [row["label"] for row in end.xcom("all")["results"]] == ["EWR 1", "EWR 2", "JFK 1", "JFK 2"]

    def test_are_upstream_failed_with_their_instance(self, run):
        def build():
            @task
            def first():
                raise ValueError("no")

            mapped = batched(work).expand(x=batches(plan([1, 2, 3]), batch_size=2))
            first() >> mapped
            collect(mapped, task_id="all", tolerated_failure_count=3)

        # Nothing was expanded: dag.test() ends the mapped task as a whole.
        end = run(build)
        assert end.instance("all").state == "failed"

    def test_that_nobody_began_are_not_tolerated_as_few(self, run):
        BROKEN.update(range(2))
        end = run(collected(list(range(10)), size=10, tolerated=30, concurrency=1, stop_after=2))
        report = end.xcom("all")
        assert (report["failed"], report["not_started"]) == (2, 8)
        assert end.instance("all").state == "failed"

    def test_are_what_somebody_marked_their_instance_as(self, run):
        BROKEN.add("broken")
        end = run(collected(["a", "broken"]))
        for state, expected in (("success", ["success"] * 2), ("failed", ["success", "failed"])):
            with create_session() as session:
                session.query(TaskInstance).filter_by(
                    dag_id=end.dag.dag_id, run_id=end.run.run_id, task_id="work"
                ).update({"state": state})
            end.again("all")
            assert [state for _, state, _ in end.rows("all")] == expected

    def test_that_a_function_of_the_author_makes_are_made_by_their_own_instance_alone(self, run):
        made = []

        def double(batch):
            made.append(batch)
            return [n * 2 for n in batch]

        def build():
            batched(work).expand(x=batches(plan([1, 2, 3]), batch_size=1).map(double))

        end = run(build)
        assert [row["value"] for index in range(3) for row in end.xcom("work", index)] == [
            "did 2",
            "did 4",
            "did 6",
        ]
        # Airflow itself calls it a few times for an instance, but only for that instance's own batch.
        assert len(list(groupby(made))) == 3


class TestRetry:
    def test_does_what_is_not_done_and_a_person_who_clears_does_all(self, run):
        BROKEN.update({2, 4})
        end = run(collected([1, 2, 3, 4, "skip"], size=5))
        assert sorted(DONE, key=str) == [1, 2, 3, 4, "skip"]
        assert end.saved("work") == ["x=1", "x=3", "x=skip"]

        DONE.clear()
        BROKEN.discard(2)
        error = end.again("work", 0)
        assert sorted(DONE) == [2, 4]
        assert "1 of 5 items of work failed, 3 succeeded and are not done again by a retry" in str(error)
        assert (
            "1 × ValueError: 4 is broken\n  x=4\nMend the cause. A retry works on these items alone"
            in str(error)
        )
        assert end.saved("work") == ["x=1", "x=2", "x=3", "x=skip"]

        DONE.clear()
        assert end.again("work", 0, cleared=True) is not None
        assert sorted(DONE, key=str) == [1, 2, 3, 4, "skip"]

        BROKEN.clear()
        DONE.clear()
        assert end.again("work", 0) is None
        assert DONE == [4]
        end.again("all")
        assert end.rows("all")[:2] == [("x=1", "success", "did 1"), ("x=2", "success", "did 2")]
        if AIRFLOW_3:  # what succeeded as a whole needs no checkpoint any more
            assert end.saved("work") == []
            return
        # A process of an earlier try may come back after that, and Airflow deletes the results for it: it does what
        # was done in the last second.
        DONE.clear()
        assert end.again("work", 0) is None
        assert DONE == [4]
        end.again("all")
        assert end.rows("all")[:2] == [("x=1", "success", "did 1"), ("x=2", "success", "did 2")]

    def test_of_a_plan_that_was_made_again_does_all_of_it_where_it_was_kept_with_the_plan(self, run):
        BROKEN.add(2)
        end = run(collected([1, 2], size=2))
        end.again("batches")
        DONE.clear()
        end.again("work", 0)
        # Airflow 3.3 has a store for it: what has the same key is the same item, whoever planned it.
        assert sorted(DONE) == ([2] if AIRFLOW_3 else [1, 2])

    @pytest.mark.parametrize("how", ["expand_kwargs", "classic", "group", "chain"])
    def test_does_what_is_not_done_however_the_batch_came(self, run, how):
        BROKEN.add(2)

        def build():
            if how == "expand_kwargs":
                batched(work).expand_kwargs(plan([{"x": [1, 2]}]))
            elif how == "classic":
                BatchedOperator.partial(task_id="work", python_callable=work).expand(
                    op_kwargs=plan([{"x": [1, 2]}])
                )
            elif how == "group":

                @task_group(prefix_group_id=False)
                def steps(numbers):
                    batched(work)(numbers)

                steps.expand(numbers=batches(plan([1, 2]), batch_size=2))
            else:

                @batched
                def first(n):
                    return n

                batched(work).expand(x=first.expand(n=batches(plan([1, 2]), batch_size=2)))

        end = run(build)
        DONE.clear()
        assert end.again("work", 0) is not None
        assert DONE == [2]

    def test_of_literals_does_all_of_it_and_says_so_where_no_store_is(self, run, caplog):
        BROKEN.add(2)

        def build():
            with nullcontext() if AIRFLOW_3 else pytest.warns(UserWarning, match="literal batches"):
                batched(work).expand(x=[[1, 2]])

        end = run(build)
        assert ("No task made this batch, so there is no checkpoint" in caplog.text) is not AIRFLOW_3
        DONE.clear()
        end.again("work", 0)
        assert sorted(DONE) == ([2] if AIRFLOW_3 else [1, 2])

    @pytest.mark.skipif(
        AIRFLOW_3, reason="there the task state store tells of what is gone, in its own tests"
    )
    def test_does_again_what_the_backend_of_xcoms_has_lost(self, run, mocker, caplog):
        from airflow.models.xcom import XCom

        def gone(row):
            if getattr(row, "key", "").startswith("mapping_kit/"):
                raise FileNotFoundError(row.key)
            return read(row)

        read = XCom.deserialize_value
        BROKEN.add(2)
        end = run(collected([1, 2], size=2))
        DONE.clear()
        # As of a bucket whose objects expire: everything else of Airflow reads as it does.
        mocker.patch.object(XCom, "deserialize_value", gone)
        assert "1 of 2 items of work failed" in str(end.again("work", 0))
        assert sorted(DONE) == [1, 2]
        assert "of items that are done: these items run again" in caplog.text

    def test_after_it_was_told_to_end_does_the_rest_and_the_fan_in_knows_what_was_done(self, run):
        told = []

        def build():
            @batched
            def work(x, ti):
                DONE.append(x)
                if x == 3 and not told:
                    told.append(x)
                    ti.task.on_kill()
                    while True:  # until it is interrupted
                        pass
                return x * 10

            collect(work.expand(x=batches(plan(list(range(6))), batch_size=6)), task_id="all",
                    tolerated_failure_count=3)  # fmt: skip

        end = run(build)
        assert DONE == [0, 1, 2, 3]
        assert end.saved("work") == ["x=0", "x=1", "x=2"]
        assert end.rows("all") == [
            *((f"x={x}", "success", x * 10) for x in range(3)),
            *((f"x={x}", "failed", None) for x in range(3, 6)),
        ]
        DONE.clear()
        assert end.again("work", 0) is None
        assert DONE == [3, 4, 5]

    def test_finds_nothing_done_by_one_that_was_told_to_end_before_it_began(self, run):
        def build():
            mapped = batched(pre_execute=lambda context: context["task"].on_kill())(work)
            mapped.expand(x=batches(plan([1, 2]), batch_size=2))

        end = run(build)
        assert end.instance("work", 0).state == "failed"
        assert not DONE

    def test_is_not_made_where_all_failures_are_final(self, run):
        def build():
            @batched(retries=5)
            def give_up(x):
                raise AirflowFailException("never")

            give_up.expand(x=batches(plan([1, 2]), batch_size=2))

        end = run(build)
        assert end.instance("give_up", 0).state == "failed"


class TestTwoOwners:
    """A worker froze, Airflow gave its instance to another, and it comes back."""

    @pytest.mark.parametrize(
        "found_by",
        [
            "its next save",
            # The job of a worker ends whatever process is not the one on record, if it comes before.
            pytest.param(
                "a signal", marks=pytest.mark.skipif(AIRFLOW_3, reason="Airflow 3 knows a try by its id")
            ),
        ],
    )
    def test_stop_the_one_that_came_back_and_leave_the_others_try_alone(
        self, run, tmp_path, caplog, found_by
    ):
        witness, given_away = tmp_path / "witness", []

        def build():
            @batched(concurrency=4, retries=1)
            def work(x):
                is_last = bool(x == 120 and given_away)
                if is_last:
                    given_away[0]()
                elif x > 120 and given_away:
                    time.sleep(0.05)
                with witness.open("a") as file:
                    file.write(f"{'given-away' if is_last else x}\n")
                if is_last and found_by == "a signal":
                    os.kill(os.getpid(), signal.SIGTERM)

            work.expand(x=batches(plan(list(range(400))), batch_size=400))

        end = run(build)
        witness.unlink()
        given_away.append(lambda: airflows.give_away(end.dag, "work", 0))
        if AIRFLOW_3:
            # What it says of its end Airflow takes no more; in a process of its own the supervisor logs that.
            with pytest.raises(Exception, match="Server returned error"):
                end.again("work", 0)
            assert "Airflow no longer knows this try of the instance" in caplog.text
        else:
            assert _in_a_process_of_its_own(end) == 1
        lines = witness.read_text().split()
        assert len(lines) == len(set(lines))
        # It looks every second, and four of them sleep.
        assert len(lines) - lines.index("given-away") <= 2 * SAVE_SECONDS * 4 / 0.05
        now = end.instance("work", 0)
        if AIRFLOW_3:
            assert now.state == "up_for_retry"
        else:
            assert (now.state, now.try_number, now.job_id) == ("running", 2, 8)


def _in_a_process_of_its_own(end):
    """Run an instance as the job of a worker does, on Airflow 2; return how its process ended."""
    from airflow import settings

    instance = end.instance("work", 0)
    instance.refresh_from_task(end.dag.get_task("work"))
    pid = os.fork()
    if not pid:
        try:
            settings.engine.dispose(close=False)
            instance.run(ignore_ti_state=True, ignore_all_deps=True, job_id="7")
        finally:
            os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


class TestChain:
    def test_goes_on_with_what_succeeded_and_keeps_keys(self, run):
        BROKEN.add("broken")

        def build():
            @batched(trigger_rule="all_done")
            def after(text):
                return text.upper()

            done = batched(concurrency=2)(work).expand(
                x=batches(plan(["a", "broken", "skip", "b", "a"]), batch_size=3)
            )
            followed = after.expand(text=done)
            collect(followed, task_id="all", tolerated_failure_count=1)

        end = run(build)
        assert end.rows("all") == [
            ("x=a", "success", "DID A"),
            ("x=broken", "upstream_failed", None),
            ("x=skip", "skipped", None),
            ("x=b", "success", "DID B"),
            ("x=a#2", "success", "DID A"),
        ]
        assert end.xcom("all")["results"][1]["error"] == {"type": "ValueError", "message": "broken is broken"}
        assert end.instance("all").state == "success"

    def test_within_a_mapped_group_has_the_worst_state_of_each_items_steps_and_one_key_for_it(
        self, run, caplog
    ):
        BROKEN.add(2)

        def build():
            @task_group
            def steps(numbers):
                @batched(trigger_rule="all_done")
                def second(text):
                    return text.upper()

                return second(batched(work)(numbers))

            collect(steps.expand(numbers=batches(plan([1, 2, 3]), batch_size=2)), task_id="all",
                    tolerated_failure_count=1)  # fmt: skip

        end = run(build)
        assert end.rows("all") == [
            ("numbers=1", "success", "DID 1"),
            ("numbers=2", "failed", None),
            ("numbers=3", "success", "DID 3"),
        ]
        # After the argument of the group, which all of its tasks share, whatever each calls it.
        for step in ("steps.work", "steps.second"):
            keys = [row["key"] for index in (0, 1) for row in end.xcom(step, index)]
            assert keys == ["numbers=1", "numbers=2", "numbers=3"]
            assert "numbers=1 … numbers=2" in end.instance(step, 0).rendered_map_index
        assert "[numbers=2] Failed, the last of 1 tries." in caplog.text
        assert "1 × ValueError: 2 is broken\n  numbers=2" in caplog.text

    def test_into_a_mapped_group_goes_on_with_what_succeeded_and_keeps_keys(self, run):
        BROKEN.add(2)

        def build():
            @task_group
            def steps(texts):
                @batched(trigger_rule="all_done")
                def upper(text):
                    return text.upper()

                @batched(trigger_rule="all_done")
                def twice(upped):
                    return upped * 2

                return twice(upper(texts))

            first = batched(work).expand(x=batches(plan([1, 2, 3]), batch_size=3))
            collect(steps.expand(texts=first), task_id="all", tolerated_failure_count=1)

        end = run(build)
        assert end.rows("all") == [
            ("x=1", "success", "DID 1DID 1"),
            ("x=2", "upstream_failed", None),
            ("x=3", "success", "DID 3DID 3"),
        ]
        for step in ("steps.upper", "steps.twice"):
            assert [row["key"] for row in end.xcom(step, 0)] == ["x=1", "x=2", "x=3"]


class TestKeys:
    ORDERS = ({"id": 7, "customer": "Ann", "token": "t-7"}, {"id": 8, "customer": "Bo", "token": "t-8"})

    def test_are_of_the_fields_that_were_chosen_wherever_an_item_is_named(self, run, caplog):
        def build():
            @batched(key="id")
            def ship(order):
                if order["id"] == 8:
                    raise ValueError("no such street")
                return order["customer"]

            @batched(trigger_rule="all_done")
            def bill(shipped):
                return f"to {shipped}"

            shipped = ship.expand(order=batches(plan(list(self.ORDERS)), batch_size=2))
            collect(bill.expand(shipped=shipped), task_id="all", tolerated_failure_count=1)

        end = run(build)
        assert end.rows("all") == [("id=7", "success", "to Ann"), ("id=8", "upstream_failed", None)]
        assert [row["key"] for row in end.xcom("ship", 0)] == ["id=7", "id=8"]
        assert end.instance("ship", 0).rendered_map_index == "items 1–2 of 2: id=7 … id=8"
        assert end.instance("bill", 0).rendered_map_index == "items 1–2 of 2: id=7 … id=8"
        assert "[id=8] Failed, the last of 1 tries." in caplog.text

    def test_of_several_fields_beside_another_mapped_argument(self, run):
        def build():
            @batched(key=["customer", "id"])
            def ship(order, day):
                return day

            collect(ship.expand(order=[list(self.ORDERS)], day=plan(["mon"])), task_id="all")

        with nullcontext() if AIRFLOW_3 else pytest.warns(UserWarning, match="literal batches"):
            end = run(build)
        assert [key for key, _, _ in end.rows("all")] == [
            "day=mon/order=customer%3DAnn%2Fid%3D7",
            "day=mon/order=customer%3DBo%2Fid%3D8",
        ]

    @pytest.mark.parametrize(
        ("key", "said"),
        [
            (
                "number",
                "item 0 of the batch has no field 'number', which key= names. Its fields are ['id', 'x'].",
            ),
            ("id", "item 1 of the batch is of type int"),
        ],
    )
    def test_that_items_do_not_have_fail_the_instance_before_it_works(self, run, caplog, key, said):
        end = run(collected([{"id": 1, "x": "secret"}, 5], size=2, retries=3, key=key))
        assert end.instance("work", 0).state == "failed"
        assert said in caplog.text
        assert not DONE
        # The fan-in names them all the same, and shows nothing of what they hold.
        assert [state for _, state, _ in end.rows("all")] == ["failed", "failed"]
        assert "secret" not in json.dumps(end.xcom("all"))


class TestArguments:
    def test_are_those_of_any_task(self, run):
        def build():
            @batched
            async def all_of_them(x, ti, *, suffix, params=None, **context):
                return f"{x}{suffix} {ti.task_id} {params['p']} {context['run_id'] == ti.run_id}"

            all_of_them.partial(suffix="!").expand(x=batches(plan([1, 2]), batch_size=2))

        end = run(build, params={"p": 7})
        assert [row["value"] for row in end.xcom("all_of_them", 0)] == [
            "1! all_of_them 7 True",
            "2! all_of_them 7 True",
        ]

    def test_mapped_beside_the_batch_are_part_of_the_keys(self, run):
        def build():
            @batched
            def pair(x, y):
                return f"{x}{y}"

            collect(pair.expand(x=batches(plan([1, 2, 3]), batch_size=2), y=plan(["a", "b"])), task_id="all")

        end = run(build)
        assert [(key, value) for key, _, value in end.rows("all")] == [
            ("x=1/y=a", "1a"),
            ("x=2/y=a", "2a"),
            ("x=1/y=b", "1b"),
            ("x=2/y=b", "2b"),
            ("x=3/y=a", "3a"),
            ("x=3/y=b", "3b"),
        ]

    def test_of_expand_kwargs_and_of_a_classic_operator(self, run):
        def build():
            sets = plan.override(task_id="sets")([{"x": [1, 2]}, {"x": [3]}])
            collect(batched(work).expand_kwargs(sets), task_id="first")
            classic = BatchedOperator.partial(task_id="classic", python_callable=work).expand(
                op_kwargs=plan.override(task_id="kwargs")([{"x": [1]}, {"x": [2, 3]}])
            )
            collect(classic, task_id="second")

        end = run(build)
        did = [(f"x={n}", "success", f"did {n}") for n in (1, 2, 3)]
        assert end.rows("first") == did
        assert end.rows("second") == did

    def test_of_an_instance_that_is_not_mapped(self, run):
        def build():
            batched(work)(plan([1, 2]))

        end = run(build)
        assert [(row["key"], row["value"]) for row in end.xcom("work")] == [
            ("x=1", "did 1"),
            ("x=2", "did 2"),
        ]

    @pytest.mark.parametrize(
        ("batch", "state", "said"),
        [
            ({"id": 1}, "failed", "work got {'id': 1} as its batch, which is no list: map it over batches"),
            ("abc", "failed", "work.expand(x=batches(..., batch_size=50))"),
            ([], "skipped", "work got an empty batch: there is nothing to do."),
        ],
    )
    def test_that_are_no_batch(self, run, caplog, batch, state, said):
        caplog.set_level("INFO")

        def build():
            collect(
                batched(retries=3)(work).expand(x=plan([[1], batch])),
                task_id="all",
                tolerated_failure_count=1,
            )

        end = run(build)
        assert [end.instance("work", index).state for index in (0, 1)] == ["success", state]
        assert said in caplog.text
        assert [row[1] for row in end.rows("all")] == ["success", state]


class TestPartitionsOfDuckDB:
    def test_count_each_in_a_batch_and_as_always_alone(self, run, tmp_path):
        def build():
            load = DuckDBPartitionOperator.partial(
                task_id="load",
                sql="SELECT 1 / (CASE WHEN $n = 3 THEN error('no three') ELSE 1 END) AS one WHERE $n <> 4",
                target=str(tmp_path / "lake"),
                on_empty="skip",
                map_index_template=label("number {n}"),
            )
            mixed = plan([[{"n": 1}, {"n": 2}, {"n": 3}, {"n": 4}], {"n": 5}])
            collect(load.expand(partition=mixed), task_id="all", tolerated_failure_count=1)

        end = run(build)
        assert [(key, state, value and value["rows"]) for key, state, value in end.rows("all")] == [
            ("n=1", "success", 1),
            ("n=2", "success", 1),
            ("n=3", "failed", None),
            ("n=4", "skipped", None),
            ("n=5", "success", 1),
        ]
        report = end.xcom("all")["results"]
        assert "no three" in report[2]["error"]["message"]
        assert [row["label"] for row in report] == [f"number {n}" for n in range(1, 6)]
        assert end.instance("load", 0).rendered_map_index == "items 1–4 of 4: number 1 … number 4"
        assert end.instance("load", 1).rendered_map_index == "number 5"

    def test_that_are_published_are_left_alone_by_a_retry_and_published_again_when_somebody_clears(
        self, run, tmp_path, caplog
    ):
        caplog.set_level("INFO")
        raw, lake = tmp_path / "raw", tmp_path / "lake"
        raw.mkdir()
        for n in (1, 2):
            (raw / f"{n}.csv").write_text("one\n1\n")

        def build():
            fixed = {"sql": "FROM read_csv($raw || $n || '.csv')", "parameters": {"raw": f"{raw}/"}}
            load = DuckDBPartitionOperator.partial(task_id="load", target=f"{lake}/load", **fixed)
            whole = plan([{"n": 1}, {"n": 3}, {"n": 2}])
            collect(
                load.expand(partition=batches(whole, batch_size=3)), task_id="all", tolerated_failure_count=9
            )
            DuckDBPartitionOperator(task_id="one", target=f"{lake}/one", partition=whole, **fixed)

        def files(task_id):
            found = sorted((lake / task_id).glob("*/*.parquet"))
            return {path.parent.name: path.stat().st_mtime_ns for path in found}

        end = run(build)
        for task_id, index in (("load", 0), ("one", -1)):
            first = files(task_id)
            assert (sorted(first), end.saved(task_id)) == (["n=1", "n=2"], ["n=1", "n=2"])
            assert "Published: n=1, n=2, which a retry leaves alone." in caplog.text

            error = end.again(task_id, index)
            assert "1 of 3 partitions failed: n=3." in str(error)
            assert (files(task_id), end.saved(task_id)) == (first, ["n=1", "n=2"])

            (raw / "3.csv").write_text("one\n3\n")
            assert end.again(task_id, index) is None
            second = files(task_id)
            assert {key: second[key] for key in first} == first
            assert [row["key"] for row in end.xcom(task_id, index)] == ["n=1", "n=3", "n=2"]
            assert end.saved(task_id) == ([] if AIRFLOW_3 else ["n=1", "n=2", "n=3"])

            assert end.again(task_id, index, cleared=True) is None
            assert not {*files(task_id).values()} & {*second.values()}
            (raw / "3.csv").unlink()
        end.again("all")
        assert end.rows("all") == [
            (
                key,
                "success",
                {"key": key, "path": f"{lake}/load/{key}/data_0.parquet", "rows": 1, "bytes": size},
            )
            for key, size in zip(
                ["n=1", "n=3", "n=2"], [value["bytes"] for _, _, value in end.rows("all")], strict=True
            )
        ]

    def test_that_were_published_before_the_worker_was_killed_count_in_the_fan_in(self, run, tmp_path):
        def build():
            load = DuckDBPartitionOperator.partial(
                task_id="load",
                map_index_template=label("n is {n}"),
                sql="SELECT IF($n = 2, error('two'), 1) AS one",
            )
            mapped = load.expand(
                partition=batches(plan([{"n": 1}, {"n": 2}]), batch_size=2), target=[f"{tmp_path}/lake"]
            )
            collect(mapped, task_id="all", tolerated_failure_count=2)

        end = run(build)
        # What is pushed at the end of a try goes with it when the next begins and is killed; the checkpoint stays.
        airflows.delete_xcom(end.run, "load", map_index=0, key="mapping_kit_items")
        end.again("all")
        assert [(row["label"], row["state"]) for row in end.xcom("all")["results"]] == [
            ("n is 1", "success"),
            ("n is 2", "failed"),
        ]
