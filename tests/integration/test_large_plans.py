"""What a fan-in makes of plans that are kept elsewhere: summaries, parts, and what instances left that were killed."""

from __future__ import annotations

import json
import uuid
from collections import Counter
from pathlib import Path

import duckdb
import pendulum
import pytest
from airflow.models.taskinstance import TaskInstance

from airflow_mapping_kit.fan_in import collect, rows
from airflow_mapping_kit.generators import generator
from airflow_mapping_kit.labels import label
from airflow_mapping_kit.operators.batched import batched
from airflow_mapping_kit.storage import files, s3_files
from airflows import (
    AIRFLOW_3,
    DAG,
    AirflowSkipException,
    create_session,
    dag_test,
    delete_xcom,
    requests,
    run_alone,
    store_xcom,
    task,
    task_group,
    xcom_of,
)

ITEMS, SIZE = 40, 10
# So that they pass what a plan may have as lists.
PAD = "x" * 8000
BROKEN: set[int] = set()


@pytest.fixture(autouse=True)
def nothing_broken():
    BROKEN.clear()
    yield
    BROKEN.clear()


@pytest.fixture(params=["xcoms", "folder"])
def place(request, monkeypatch, tmp_path, metadata_db):
    """Have plans, parts and reports in each of the places where they may be; return the folder, if it is one."""
    # What fits would be in the report itself.
    monkeypatch.setenv("AIRFLOW__MAPPING_KIT__MAX_RESULT_KB", "4")
    if request.param == "xcoms":
        return None
    found = tmp_path
    if request.param == "s3":
        s3_files._client.cache_clear()  # the connection is another one in each test
        found = f"s3://{request.getfixturevalue('s3_conn')}@{request.getfixturevalue('s3_bucket')}/kit"
    monkeypatch.setenv("AIRFLOW__MAPPING_KIT__STORAGE", str(found))
    return found


@pytest.fixture
def folder(monkeypatch, tmp_path, metadata_db):
    monkeypatch.setenv("AIRFLOW__MAPPING_KIT__MAX_RESULT_KB", "4")
    monkeypatch.setenv("AIRFLOW__MAPPING_KIT__STORAGE", str(tmp_path))
    return tmp_path


@generator
def numbers(number=ITEMS):
    yield from ({"id": n, "kind": n % 2, "pad": PAD} for n in range(number))


@batched(key="id")
def ship(x):
    if x["id"] in BROKEN:
        raise ValueError(f"{x['kind']} is broken")
    if x["id"] == 3:
        raise AirflowSkipException("nothing to do")
    return {"twice": 2 * x["id"]}


def planned(number=ITEMS):
    return numbers.override(batch_size=SIZE)(number)


class End:
    """A run that has ended."""

    def __init__(self, dag):
        self.dag = dag
        self.run = dag_test(dag)

    @property
    def state(self):
        return self.run.get_task_instance("all").state

    @property
    def report(self):
        return xcom_of(self.run, "all")

    def set_state(self, task_id, map_index, state):
        with create_session() as session:
            session.query(TaskInstance).filter_by(
                dag_id=self.dag.dag_id, run_id=self.run.run_id, task_id=task_id, map_index=map_index
            ).update({"state": state})

    def again(self, **changed):
        """Run the fan-in alone once more; return what it raised."""
        for name, value in changed.items():
            setattr(self.dag.get_task("all"), name, value)
        return run_alone(self.dag, self.run.get_task_instance("all"))

    def part(self, map_index):
        return xcom_of(self.run, "ship", map_index=map_index)["mapping_kit_part"]

    def lose_rows(self, map_index):
        """Delete what an instance keeps elsewhere."""
        part = self.part(map_index)
        if part["where"] != "xcom":
            files.delete(*files.sizes(part["where"].rpartition("/")[0]))
        for task_id, index, prefix, done, failed, _ in part.get("chunks", ()):
            for name in [*map(str, range(done)), *(f"failed.{n}" for n in range(failed))]:
                delete_xcom(self.run, task_id, map_index=index, key=f"{prefix}{name}")

    def lose_summary(self, map_index, state):
        """Leave of an instance what is left of one that did not come to its end."""
        for key in ("return_value", "mapping_kit"):
            delete_xcom(self.run, "ship", map_index=map_index, key=key)
        self.set_state("ship", map_index, state)


def ended(build=None, then=None, **options):
    with DAG(f"p{uuid.uuid4().hex}", schedule=None, start_date=pendulum.datetime(2024, 1, 1)) as built:
        report = collect(build() if build else ship.expand(x=planned()), task_id="all", **options)
        if then is not None:
            then(report)
    return End(built)


def by_key(report):
    """Return the rows of a report by key: every item is in exactly one."""
    found = list(rows(report))
    assert sorted(row["item"] for row in found) == list(range(ITEMS))
    return {row["key"]: row for row in found}


def states_of(found):
    return Counter(row["state"] for row in found.values())


class TestItemsOfAPlanThatIsKeptElsewhere:
    @pytest.mark.parametrize("place", ["xcoms", "folder", "s3"], indirect=True)
    def test_are_added_up_and_their_rows_stay_where_they_are(self, place, monkeypatch, tmp_path):
        @task
        def count(report):
            return Counter(row["state"] for row in rows(report))

        BROKEN.update({7, 15, 16})
        end = ended(tolerated_failure_count=3, then=count)
        assert end.state == "success"
        # A task reads them, and so does who is beside the database.
        assert xcom_of(end.run, "count") == {"success": 36, "failed": 3, "skipped": 1}
        said = end.report
        assert (said["total"], said["succeeded"], said["failed"], said["skipped"]) == (ITEMS, 36, 3, 1)
        assert said["errors"] == [["ValueError: 1 is broken", 2], ["ValueError: 0 is broken", 1]]
        assert {row["key"] for row in said["failures"]} == {"id=7", "id=15", "id=16"}
        found = by_key(said)
        assert found["id=4"] == {
            "key": "id=4",
            "label": "id=4",
            "map_index": 0,
            "state": "success",
            "try_number": 1,
            "duration_s": found["id=4"]["duration_s"],
            "value": {"twice": 8},
            "error": None,
            "item": 4,
        }
        assert found["id=15"]["error"] == {"type": "ValueError", "message": "1 is broken"}
        assert (found["id=3"]["state"], found["id=39"]["map_index"]) == ("skipped", 3)
        if isinstance(place, Path):
            self.other_programs_read_it(end, place)

        # One more is more than is tolerated.
        error = str(end.again(tolerated_failure_count=2))
        assert "all: 3 of 40 pieces failed, at most 2 tolerated:\n2 × ValueError: 1 is broken" in error
        assert "1 × ValueError: 0 is broken\nof them\n  id=" in error
        assert (f"All of them are in {place}/" in error) == bool(place)

        assert end.again(tolerated_failure_count=3, values=False) is None
        assert ["value" in row for row in by_key(end.report).values()] == [False] * ITEMS

        # With all rows in one file, read one by one.
        path = tmp_path / "all rows.jsonl"
        assert end.again(values=True, write_to=str(path)) is None
        assert (end.report["written_to"], end.report["failed"]) == (str(path), 3)
        assert {row["key"] for row in end.report["failures"]} == {"id=7", "id=15", "id=16"}
        assert by_key(end.report) == found

        # Where there is room for them, they are in the report.
        monkeypatch.setenv("AIRFLOW__MAPPING_KIT__MAX_RESULT_KB", "1024")
        assert end.again(write_to=None) is None
        assert {row["key"]: row for row in end.report["results"]} == found

    def other_programs_read_it(self, end, place):
        home = place / end.dag.dag_id / end.run.run_id / "all"
        manifest = json.loads((home / "manifest.json").read_text())
        assert manifest["files"] == [end.part(index)["where"] for index in range(4)]
        assert (manifest["total"], manifest["failed"]) == (ITEMS, 3)
        read = f"read_json({manifest['files']})"
        found = duckdb.sql(f"SELECT state, count(*), sum(value.twice) FROM {read} GROUP BY ALL ORDER BY ALL")
        twice = 2 * (sum(range(ITEMS)) - 3 - 7 - 15 - 16)
        assert found.fetchall() == [("failed", 3, None), ("skipped", 1, None), ("success", 36, twice)]
        failed = duckdb.sql(f"SELECT key FROM read_json('{manifest['failed_in']}') ORDER BY ALL")
        assert failed.fetchall() == [("id=15",), ("id=16",), ("id=7",)]
        # Nothing is copied but what failed.
        assert sorted(one.name for one in home.iterdir()) == ["failed.jsonl", "manifest.json"]

    def test_of_equal_keys_are_told_apart_by_their_numbers(self, folder):
        @batched(key="kind")
        def same(x):
            return x["id"]

        found = list(rows(ended(lambda: same.expand(x=planned())).report))
        assert {row["item"]: row["value"] for row in found} == {n: n for n in range(ITEMS)}
        assert {row["key"] for row in found if row["map_index"] == 1} == {
            f"kind={kind}{mark}" for kind in (0, 1) for mark in ("", "#2", "#3", "#4", "#5")
        }

    def test_return_what_every_reader_takes(self, place):
        at = pendulum.datetime(2024, 1, 1)
        plain = [
            ({"k": {1, 2}}, {"k": [1, 2]}),
            (at, "2024-01-01T00:00:00+00:00"),
            ((1, 2), [1, 2]),
            ("\u2028\n", "\u2028\n"),
            (None, None),
            # Airflow 3 takes no such thing as a result.
            *([] if AIRFLOW_3 else [(float("nan"), None), ("a\0b", "a\ufffdb")]),
        ]

        @batched(key="id", map_index_template=label("no {id}"))
        def odd(x):
            return plain[x["id"] % len(plain)][0]

        found = {row["item"]: row for row in rows(ended(lambda: odd.expand(x=planned())).report)}
        assert [found[n]["value"] for n in range(len(plain))] == [value for _, value in plain]
        assert [found[n]["label"] for n in (0, 39)] == ["no 0", "no 39"]
        json.dumps(found, allow_nan=False)

    def test_pass_through_a_chain_of_batched_tasks(self, place):
        @batched(trigger_rule="all_done")
        def then(x):
            return x["twice"] if x["twice"] != 34 else 1 // 0

        BROKEN.add(12)
        end = ended(lambda: then.expand(x=ship.expand(x=planned())), tolerated_failure_count=40)
        found = by_key(end.report)
        # One was skipped before, one failed before, one fails now.
        assert states_of(found) == {"success": 37, "skipped": 1, "upstream_failed": 1, "failed": 1}
        assert (found["id=12"]["state"], found["id=17"]["state"]) == ("upstream_failed", "failed")
        assert found["id=12"]["error"]["message"] == "0 is broken"
        assert (end.report["upstream_failed"], end.report["failed"]) == (1, 1)

    def test_of_a_group_are_as_bad_as_the_worst_of_its_tasks(self, place):
        @batched(trigger_rule="all_done")
        def check(x):
            return x["twice"] if x["twice"] != 34 else 1 // 0

        @task_group
        def group(x):
            shipped = ship(x)
            return {"shipped": shipped, "checked": check(shipped)}

        BROKEN.add(12)
        end = ended(lambda: group.expand(x=planned()), tolerated_failure_count=40)
        found = by_key(end.report)
        assert states_of(found) == {"success": 37, "skipped": 1, "failed": 2}
        assert found["id=4"]["value"] == {"shipped": {"twice": 8}, "checked": 8}
        assert found["id=17"]["error"]["type"] == "ZeroDivisionError"
        assert found["id=12"]["error"]["message"] == "0 is broken"
        assert {name: end.report[name] for name in ("succeeded", "failed", "skipped")} == {
            "succeeded": 37,
            "failed": 2,
            "skipped": 1,
        }

    def test_beside_another_argument_are_there_once_for_each_of_its_values(self, folder):
        @batched(key="id")
        def each(x, day):
            return [x["id"], day]

        found = list(rows(ended(lambda: each.expand(x=planned(), day=["mon", "tue"])).report))
        assert Counter(row["item"] for row in found) == dict.fromkeys(range(ITEMS), 2)
        assert {tuple(row["value"]) for row in found} == {
            (n, d) for n in range(ITEMS) for d in ("mon", "tue")
        }
        assert len({row["key"] for row in found}) == 2 * ITEMS

    def test_of_many_parts_take_no_more_requests_than_those_of_few(self, folder):
        asked = []
        for number in (ITEMS, 3 * ITEMS):
            # Each has one that failed: of such Airflow 3 does not say whether they pushed anything.
            BROKEN.update(range(5, number, SIZE))
            end = ended(lambda number=number: ship.expand(x=planned(number)), tolerated_failure_percentage=10)
            with requests() as sent:
                assert end.again() is None
            assert end.report["failed"] == number // SIZE
            asked.append(Counter(type(one).__name__ for one in sent) if AIRFLOW_3 else len(sent))
        assert asked[0] == asked[1]


class TestWhatGoesWrong:
    def test_is_accounted_for_where_instances_did_not_come_to_their_end(self, place):
        BROKEN.update({14, 31})
        end = ended(tolerated_failure_count=ITEMS)
        end.lose_rows(2)
        end.lose_summary(1, "failed")
        end.lose_summary(2, "failed")
        end.lose_summary(3, "upstream_failed")
        assert end.again() is None
        found = by_key(end.report)
        # The first that was killed had saved what it did, the other one nothing; the last never began.
        assert Counter((row["map_index"], row["state"]) for row in found.values()) == {
            (0, "success"): 9,
            (0, "skipped"): 1,
            (1, "success"): 9,
            (1, "failed"): 1,
            (2, "failed"): 10,
            (3, "upstream_failed"): 10,
        }
        assert found["id=12"]["value"] == {"twice": 24}
        assert found["id=22"]["error"] == {"type": None, "message": "no exception recorded"}
        assert {key for key, row in found.items() if row["map_index"] == 2} == {
            f"id={n}" for n in range(20, 30)
        }
        assert end.report["errors"][:2] == [["no exception recorded", 10], ["upstream failed", 10]]
        if place:
            # No instance has written these rows so: the fan-in does.
            manifest = json.loads(Path(end.report["written_to"]).read_text())
            assert [one["map_index"] for one in manifest["parts"]] == [0, None]
            assert manifest["parts"][1]["count"] == 30
        error = str(end.again(tolerated_failure_count=20))
        assert "10 × upstream failed" in error
        assert "  items 31–40 of 40 ([3])" in error

    def test_rows_that_are_gone_fail_the_fan_in_which_names_the_instance(self, place, tmp_path):
        end = ended(write_to=str(tmp_path / "rows.jsonl"))
        assert end.state == "success"
        end.lose_rows(1)
        error = str(end.again())
        assert "The results of ship [1], items 11–20 of 40, can't be read: " in error
        assert "Clear that instance" in error

    def test_a_file_that_was_cut_off_or_deleted_is_noticed_without_reading_it(self, folder):
        end = ended()
        uri = end.part(2)["where"]
        with Path(uri).open("r+") as file:
            file.truncate(100)
        error = str(end.again())
        assert "The results of [2] are lost" in error
        assert f"{uri} has 100 bytes of {end.part(2)['bytes']:,}" in error
        files.delete(uri)
        assert f"{uri} no longer exists" in str(end.again())

    def test_a_sum_that_is_not_the_plan_fails_the_fan_in_which_names_the_instance(self, folder):
        end = ended()
        changed = {**end.part(1), "states": {"success": 9}}
        store_xcom(end.run, "ship", {"mapping_kit_part": changed}, map_index=1)
        error = str(end.again())
        assert "Not every item of the plan of ship is accounted for" in error
        assert "ship [1] has items 11–20 of 40, and accounts for 9 from item 11 on" in error

    def test_a_generator_that_was_cleared_alone_is_noticed(self, place):
        end = ended()
        assert run_alone(end.dag, end.run.get_task_instance("numbers")) is None
        assert "The plan of ship has changed since its instances ran" in str(end.again())

    def test_what_somebody_marked_is_what_its_items_are(self, folder):
        BROKEN.add(15)
        end = ended(tolerated_failure_count=ITEMS)
        end.set_state("ship", 0, "failed")
        end.set_state("ship", 1, "success")
        end.set_state("ship", 2, None)
        assert end.again() is None
        found = by_key(end.report)
        assert Counter((row["map_index"], row["state"]) for row in found.values()) == {
            (0, "failed"): 10,
            (1, "success"): 10,
            (2, "not_started"): 10,
            (3, "success"): 10,
        }
        assert (end.report["failed"], end.report["not_started"]) == (10, 10)
        assert (found["id=11"]["value"], found["id=15"]["value"]) == ({"twice": 22}, None)
