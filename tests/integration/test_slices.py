"""Plans of batches that are kept elsewhere: in chunks among the XComs, in files, in S3."""

from __future__ import annotations

import json
import logging
import os
import subprocess
import sys
import uuid
from collections import Counter
from pathlib import Path

import pendulum
import pytest

from airflow_mapping_kit.compat import expand_input_of
from airflow_mapping_kit.fan_in import collect, rows
from airflow_mapping_kit.generators import batches, generator, product
from airflow_mapping_kit.generators.consumers import uses_of
from airflow_mapping_kit.labels import label
from airflow_mapping_kit.operators.batched import batched
from airflow_mapping_kit.plans.held import batch_of, items_of
from airflow_mapping_kit.plans.planned import key_of
from airflow_mapping_kit.plans.slices import Slice
from airflow_mapping_kit.reading import of_task, tables
from airflow_mapping_kit.storage import s3_files
from airflows import AIRFLOW_3, BaseOperator, dag, task, task_group, xcom_of

NUMBER = 12_000


class Sum(BaseOperator):
    """Add up a batch of numbers, wherever it is kept."""

    template_fields = ("numbers", "note")
    takes_slices = True

    def __init__(self, *, numbers, note=None, **kwargs):
        super().__init__(**kwargs)
        self.numbers, self.note = numbers, note

    @staticmethod
    def batch_parameter(_):
        return "numbers"

    def execute(self, context):
        """Return the first, the last and the sum."""
        ti = context["ti"]
        numbers = batch_of(self.numbers, of_task(ti), ti.dag_id, ti.run_id)
        return [numbers[0]["id"], numbers[-1]["id"], sum(one["id"] for one in numbers)]


def total(task_id="total"):
    return Sum.partial(task_id=task_id, map_index_template=label("{id}"))


@task
def taken(anything):
    return anything


@generator
def numbers(number):
    # As it is asked for: nothing has all of them.
    yield from ({"id": i, "why": "as many bytes as it takes"} for i in range(number))


def a_dag(build, *, retries=0, **kwargs):
    @dag(
        dag_id=f"s{uuid.uuid4().hex}",
        schedule=None,
        start_date=pendulum.datetime(2024, 1, 1),
        default_args={"retries": retries},
        **kwargs,
    )
    def built():
        build()

    return built()


@pytest.fixture(params=["xcoms", "folder", "s3"])
def storage(request, monkeypatch, tmp_path):
    """Have the items of plans in each of the places where they may be."""
    if request.param == "folder":
        monkeypatch.setenv("AIRFLOW__MAPPING_KIT__STORAGE", str(tmp_path))
    if request.param == "s3":
        s3_files._client.cache_clear()
        conn, bucket = request.getfixturevalue("s3_conn"), request.getfixturevalue("s3_bucket")
        monkeypatch.setenv("AIRFLOW__MAPPING_KIT__STORAGE", f"s3://{conn}@{bucket}/kit")
    return request.param


class TestWhatIsMappedOver:
    def test_is_where_each_batch_is_and_labels_say_what_it_holds(self, dag_test, storage):
        done = dag_test(a_dag(lambda: total().expand(numbers=numbers.override(batch_size=5000)(NUMBER))))
        sums = [done["total", index].xcom_pull(task_ids="total", map_indexes=index) for index in range(3)]
        assert sums == [
            [0, 4999, sum(range(5000))],
            [5000, 9999, sum(range(5000, 10000))],
            [10000, 11999, sum(range(10000, 12000))],
        ]
        shown = [done["total", index].rendered_map_index for index in range(3)]
        assert shown == [
            "items 1–5,000 of 12,000: 0 … 4999",
            "items 5,001–10,000 of 12,000: 5000 … 9999",
            "items 10,001–12,000 of 12,000: 10000 … 11999",
        ]
        plan = xcom_of(done["total", 0], "numbers")
        assert len(json.dumps(plan)) < 3 * 400
        assert {"xcoms": "xcom:numbers/", "folder": "/", "s3": "s3://"}[storage] in Slice.of(plan[0]).where

    def test_is_the_batches_themselves_as_long_as_they_are_small(self, run_of, storage):
        run = run_of(a_dag(lambda: total().expand(numbers=numbers.override(batch_size=2)(3))))
        assert run.run("numbers")[1] == [
            [{"id": 0, "why": "as many bytes as it takes"}, {"id": 1, "why": "as many bytes as it takes"}],
            [{"id": 2, "why": "as many bytes as it takes"}],
        ]

    def test_batches_of_a_list_are_kept_elsewhere_too(self, dag_test):
        @task
        def listed():
            return [{"id": i, "why": "x" * 100} for i in range(5000)]

        def build():
            total().expand(numbers=batches(listed(), batch_size=2000))

        done = dag_test(a_dag(build))
        assert done["total", 2].xcom_pull(task_ids="total", map_indexes=2)[:2] == [4000, 4999]
        assert [Slice.of(one).count for one in xcom_of(done["total", 0], "batches")] == [2000, 2000, 1000]

    def test_no_process_reads_more_of_the_plan_than_its_part(self, dag_test, monkeypatch):
        read = []
        xcoms = tables.xcoms
        monkeypatch.setattr(tables, "xcoms", lambda *place: read.append(place[2]) or xcoms(*place))
        dag_test(a_dag(lambda: total().expand(numbers=numbers.override(batch_size=6000)(NUMBER))))
        keys = {key for wanted in read for _, key in wanted}
        assert AIRFLOW_3 or all(key.startswith("mapping_kit_plan/") for key in keys)


class TestHowManyAreInABatch:
    def plan(self, run_of, build, caplog):
        run = run_of(a_dag(build, retries=3))
        with caplog.at_level(logging.ERROR):
            state, plan = run.run("numbers")
        return (state, plan) if state == "success" else (state, caplog.text)

    @batched
    @staticmethod
    def work(number):
        return number

    def test_is_chosen_for_what_works_on_batches_alone(self, run_of, caplog):
        state, plan = self.plan(run_of, lambda: self.work.expand(number=numbers(120)), caplog)
        assert (state, [len(batch) for batch in plan]) == ("success", [50, 50, 20])

    def test_is_not_for_what_takes_pieces_too(self, run_of, caplog):
        state, plan = self.plan(run_of, lambda: total().expand(numbers=numbers(3)), caplog)
        assert (state, [one["id"] for one in plan]) == ("success", [0, 1, 2])

    def test_may_be_a_template(self, run_of):
        run = run_of(
            a_dag(
                lambda: self.work.expand(number=numbers.override(batch_size="{{ params.size }}")(5)),
                params={"size": 2},
            )
        )
        assert [len(batch) for batch in run.run("numbers")[1]] == [2, 2, 1]

    @pytest.mark.parametrize("size", [0, -1, True, 1.5, "many", [1]])
    def test_is_a_number_above_zero(self, size):
        with pytest.raises(ValueError, match=r"batch_size is .*: pass a whole number of at least 1"):
            a_dag(lambda: self.work.expand(number=numbers.override(batch_size=size)(5)))

    def test_is_too_small_where_more_result_than_airflow_maps_over(self, run_of, caplog, monkeypatch):
        monkeypatch.setenv("AIRFLOW__CORE__MAX_MAP_LENGTH", "4")

        def build():
            total().expand(numbers=numbers.override(batch_size=2)(9))

        state, text = self.plan(run_of, build, caplog)
        # Not up_for_retry: the same would come of it.
        assert state == "failed"
        assert "numbers made more than 4 batches of 2 items" in text

    def test_is_not_said_twice(self):
        with pytest.raises(
            ValueError, match=r"batch_size is given twice, as the argument 2 and by .*leave one"
        ):
            a_dag(lambda: batches.override(batch_size=3)([1, 2], batch_size=2))

    def test_of_a_list_that_is_too_small_names_one_that_is_not(self, run_of, caplog, monkeypatch):
        monkeypatch.setenv("AIRFLOW__CORE__MAX_MAP_LENGTH", "4")

        @generator
        def numbers():
            return list(range(17))

        state, text = self.plan(
            run_of, lambda: total().expand(numbers=numbers.override(batch_size=2)()), caplog
        )
        assert state == "failed"
        assert "numbers made 9 batches, and a task maps directly over them" in text
        assert "Make the batches larger: batch_size=5." in text

    def test_of_none_is_an_empty_plan(self, run_of):
        run = run_of(a_dag(lambda: total().expand(numbers=numbers.override(batch_size=2)(0))))
        assert run.run("numbers") == ("skipped", None)
        run = run_of(
            a_dag(lambda: total().expand(numbers=numbers.override(batch_size=2, on_empty="fail")(0)))
        )
        assert run.run("numbers")[0] == "failed"


class TestWhoElseUsesThePlan:
    """Whatever takes more of a plan than its batches one by one gets the plan itself, and so do all."""

    @batched
    @staticmethod
    def work(number):
        return number

    def uses(self, build, task_id="numbers"):
        return uses_of(a_dag(build).get_task(task_id))

    def test_what_is_mapped_over_its_batches_leaves_them_where_they_are(self):
        @task_group
        def steps(number):
            Sum(task_id="one", numbers=number)
            Sum(task_id="other", numbers=number)

        def build():
            made = numbers(3)
            total().expand(numbers=made)
            total("mixed").expand(numbers=made.concat(batches([1], batch_size=1)))
            total("crossed").expand(numbers=made, note=["a", "b"])
            steps.expand(number=made)
            made >> taken(1)  # comes after it, and takes nothing of it

        assert self.uses(build) == (False, True)

    @pytest.mark.parametrize(
        "use",
        [
            lambda made: Sum(task_id="all", numbers=made),
            lambda made: Sum.partial(task_id="doc", note=made).expand(numbers=[[1]]),
            lambda made: total("other").expand_kwargs(made),
            lambda made: total("other").expand(numbers=made.map(lambda one: one)),
            lambda made: total("other").expand(numbers=made.zip(made)),
            lambda made: total("other").expand(numbers=[made]),
            lambda made: total("other").expand(numbers=[[1]], note=made),
            lambda made: batches(made, batch_size=2),
            lambda made: taken(made),
            lambda made: taken.expand(anything=made),
            lambda _: taken("{{ ti.xcom_pull('numbers') | length }}"),
            lambda _: Sum.partial(task_id="pulled", note="{{ ti.xcom_pull('numbers') }}").expand(
                numbers=[[1]]
            ),
        ],
    )
    def test_anything_else_has_it(self, use):
        def build():
            made = numbers(3)
            total().expand(numbers=made)
            use(made)

        assert self.uses(build) == (False, False)

    def test_a_group_has_it_where_a_task_takes_the_batch_otherwise(self):
        @task_group
        def steps(number):
            Sum(task_id="one", numbers=number)
            taken(number)

        assert self.uses(lambda: steps.expand(number=numbers(3))) == (False, False)

    def test_nobody_at_all_has_it(self):
        assert self.uses(lambda: numbers(3)) == (False, False)


class TestAnOlderPlan:
    """A generator that runs again makes another plan: nobody reads a part of this and a part of that."""

    def held(self, run, task_id="numbers"):
        return [Slice.of(one) for one in xcom_of(run.dag_run, task_id)]

    def items(self, run, held):
        return [item["id"] for _, item in items_of(held, tables, run.dag_run.dag_id, run.dag_run.run_id)]

    def test_is_deleted_and_none_of_its_slices_is_one_of_the_new(self, run_of, storage, tmp_path):
        run = run_of(a_dag(lambda: total().expand(numbers=numbers.override(batch_size=5000)(NUMBER))))
        assert run.run("numbers")[0] == "success"
        older = self.held(run)
        assert self.items(run, older[1])[0] == 5000
        if storage == "folder":
            # What is not a plan of this task of this run stays.
            place = Path(older[0].where).parent
            kept = [
                place / "plan.jsonl",
                place / "0.1.jsonl",
                place.parent / "ship" / Path(older[0].where).name,
            ]
            for path in kept:
                path.parent.mkdir(exist_ok=True)
                path.write_text("kept")
            (place / f".{Path(older[0].where).name}.abc.unfinished").write_text("half of it")
            # Of a process that works on the same task now, and of one that froze, which is this.
            kept += [place / f"plan-f{'0' * 31}.jsonl", place / f".plan-f{'0' * 31}.jsonl.abc.unfinished"]
            for path in kept[-2:]:
                path.write_text("[]")
        assert run.run("numbers")[0] == "success"
        newer = self.held(run)
        assert [item for one in newer for item in self.items(run, one)] == list(range(NUMBER))
        assert older[1].where != newer[1].where
        with pytest.raises(ValueError, match=r"^The plan .* no longer exists: .*Clear the task that made it"):
            self.items(run, older[1])
        if storage == "folder":
            assert sorted(path for path in tmp_path.rglob("*") if path.is_file()) == sorted(
                [*kept, Path(newer[0].where)]
            )

    def test_stays_where_the_new_one_fails_and_half_of_that_is_not_left(self, run_of, storage, tmp_path):
        @generator
        def numbers(fails):
            yield from ({"id": i, "why": "as many bytes as it takes"} for i in range(NUMBER))
            if fails == "True":
                raise OSError("the source is gone")

        def build():
            made = numbers.override(batch_size=5000)("{{ var.value.get('fails', 'False') }}")
            total().expand(numbers=made)

        run = run_of(a_dag(build))
        run.run("numbers")
        older = self.held(run)
        with pytest.MonkeyPatch.context() as patched:
            patched.setenv("AIRFLOW_VAR_FAILS", "True")
            assert run.run("numbers") == ("failed", None)
        if storage == "folder":
            assert [path for path in tmp_path.rglob("*") if path.is_file()] == [Path(older[0].where)]
        if storage != "xcoms":
            # Who works on it already may go on.
            assert self.items(run, older[2])[-1] == NUMBER - 1


def test_items_that_plain_json_cannot_hold_come_back_as_from_any_xcom(run_of, storage):
    moment = pendulum.datetime(2024, 1, 1)

    @generator
    def moments():
        yield from ({"id": i, "at": moment.add(hours=i)} for i in range(6000))

    run = run_of(a_dag(lambda: total().expand(numbers=moments.override(batch_size=5000)())))
    assert run.run("moments")[0] == "success"
    second = Slice.of(xcom_of(run.dag_run, "moments")[1])
    found = list(items_of(second, tables, run.dag_run.dag_id, run.dag_run.run_id))
    assert found[-1] == (5999, {"id": 5999, "at": moment.add(hours=5999)})
    assert second.ends == [None, None]


def test_an_item_that_nothing_can_hold_is_named(run_of, caplog):
    @generator
    def things():
        yield 1
        yield {"it": b"\x00"} if not AIRFLOW_3 else object()

    with caplog.at_level(logging.ERROR):
        assert run_of(a_dag(lambda: total().expand(numbers=things.override(batch_size=5)()))).run(
            "things"
        ) == (
            "failed",
            None,
        )
    assert "item 1 of the plan, " in caplog.text
    assert "can't be passed to another task" in caplog.text


def test_the_field_that_names_an_item_is_that_of_its_generator(dag_test):
    @batched
    def work(order):
        return order["id"]

    def build():
        collect(work.expand(order=numbers.override(batch_size=2, key="id")(3)))

    done = dag_test(a_dag(build))
    assert [done["work", index].rendered_map_index for index in (0, 1)] == [
        "items 1–2 of 3: id=0 … id=1",
        "item 3 of 3: id=2",
    ]
    rows = xcom_of(done["work", 0], "collect_work")["results"]
    assert [row["key"] for row in rows] == ["id=0", "id=1", "id=2"]


def test_an_item_without_the_field_that_names_it_fails_the_generator(run_of, caplog):
    @generator
    def orders():
        yield {"id": 1}
        yield {"name": 2}

    with caplog.at_level(logging.ERROR):
        run_of(a_dag(lambda: total().expand(numbers=orders.override(batch_size=5, key="id")()))).run("orders")
    assert "orders: item 1 of its plan has no field 'id', which key= names." in caplog.text


def test_a_mapped_generator_makes_lists_however_large(dag_test):
    def build():
        total().expand(numbers=numbers.expand(number=[NUMBER, 2]))

    done = dag_test(a_dag(build))
    assert done["total", 0].xcom_pull(task_ids="total", map_indexes=0) == [0, NUMBER - 1, sum(range(NUMBER))]


def test_pieces_of_dates_and_products_may_be_more_than_airflow_maps_over(run_of, monkeypatch):
    monkeypatch.setenv("AIRFLOW__CORE__MAX_MAP_LENGTH", "4")

    @batched
    def work(partition):
        return partition

    run = run_of(a_dag(lambda: work.expand(partition=product(n=list(range(300))))))
    assert [len(batch) for batch in run.run("product")[1]] == [100, 100, 100]


@pytest.fixture(scope="module")
def with_backend(metadata_db, tmp_path_factory):
    """What a process saw whose XComs are objects, all of them."""
    folder = tmp_path_factory.mktemp("objects")
    backend = "airflow.providers.common.io.xcom.backend.XComObjectStorageBackend"
    options = {
        "AIRFLOW__CORE__XCOM_BACKEND": backend,
        "AIRFLOW__COMMON_IO__XCOM_OBJECTSTORAGE_PATH": f"file://{folder}",
        "AIRFLOW__COMMON_IO__XCOM_OBJECTSTORAGE_THRESHOLD": "0",
    }
    here = Path(__file__).parent
    paths = [str(here.parent / "lib"), str(here.parents[1]), os.environ.get("PYTHONPATH", "")]
    answer = subprocess.run(
        [sys.executable, here / "run_with_backend.py"],
        env={**os.environ, **options, "PYTHONPATH": os.pathsep.join(paths)},
        stdout=subprocess.PIPE,
        text=True,
        check=True,
        timeout=120,
    )
    return folder, json.loads(answer.stdout[answer.stdout.index('{"sums"') :])


class TestADeploymentsOwnBackend:
    def test_keeps_what_goes_from_task_to_task_and_the_plan_is_beside_it(self, with_backend):
        folder, seen = with_backend
        assert seen["sums"] == [sum(range(5000)), sum(range(5000, 10000)), sum(range(10000, 12000))]
        assert (
            seen["xcoms"]["numbers return_value -1"]
            .strip("b'\"")
            .startswith(f"file://{folder}/with_backend/")
        )
        (plan,) = folder.glob("mapping_kit/with_backend/*/numbers/plan-*.jsonl")
        assert len(plan.read_text().splitlines()) == NUMBER

    def test_leaves_instances_that_wait_their_labels(self, with_backend):
        _, seen = with_backend
        assert seen["labels"] == [
            "items 1–5,000 of 12,000: 0 … 4999",
            "items 5,001–10,000 of 12,000: 5000 … 9999",
            "items 10,001–12,000 of 12,000: 10000 … 11999",
        ]

    def test_has_all_that_labels_hide(self, with_backend):
        _, seen = with_backend
        assert seen["secret"] == "items 1–5,000 of 6,000"
        assert "mapping_kit_items" in seen["xcoms"]["accounts mapping_kit_slices -1"]
        assert "quokka" not in str(seen["xcoms"])


def test_a_slice_is_no_piece_whose_fields_name_it(dag_test):
    made = a_dag(lambda: total().expand(numbers=numbers.override(batch_size=6000, key="id")(NUMBER)))
    done = dag_test(made)
    assert [done["total", index].rendered_map_index for index in (0, 1)] == [
        "items 1–6,000 of 12,000: 0 … 5999",
        "items 6,001–12,000 of 12,000: 6000 … 11999",
    ]
    mapped = [{"numbers": one} for one in xcom_of(done["total", 0], "numbers")]
    over = expand_input_of(made.get_task("total")).value
    keys = [key_of(one, over) for one in mapped]
    assert len(set(keys)) == 2
    assert all(key.startswith("numbers=") for key in keys)


@batched(concurrency=4)
def shipped(order, api):
    if order["id"] % 5000 == 7:
        raise ValueError("seven")
    return api


def test_every_item_of_mixed_and_crossed_maps_is_in_one_row(dag_test):
    """Slices beside lists, each with two other values: what each instance holds is counted over all of them."""

    def build():
        small = numbers.override(batch_size=2)(3)
        orders = numbers.override(batch_size=6000)(NUMBER).concat(small)
        collect(shipped.expand(order=orders, api=["a", "b"]), tolerated_failure_percentage=5)

    done = dag_test(a_dag(build))
    got = list(rows(xcom_of(done["shipped", 0], "collect_shipped")))
    counted = Counter((row["state"], row["value"]) for row in got)
    failed = 2 * 3  # 7, 5007 and 10007
    assert counted == {("failed", None): failed, ("success", "a"): 12_000, ("success", "b"): 12_000}
    assert done["shipped", 3].rendered_map_index.startswith("items 18,001–24,000 of 24,006: ")
    assert done["shipped", 4].rendered_map_index.startswith("items 24,001–24,002 of 24,006: ")
