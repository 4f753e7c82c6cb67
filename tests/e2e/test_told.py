"""What OpenLineage, StatsD and whoever is notified are told of a run, on a real scheduler of its own."""

from __future__ import annotations

import json
import shutil
import socket
import threading
import time
from collections import Counter
from pathlib import Path
from types import SimpleNamespace

import pytest

from stack.airflow import Airflow
from stack.postgres import Postgres
from stack.processes import Processes

pytestmark = pytest.mark.versions
DAG = Path(__file__).parent / "dags" / "told.py"
STRANGE = "Zoë's/%2F\n<b>"
SUBSET = "https://openlineage.io/spec/facets/1-0-0/BaseSubsetDatasetFacet.json#/$defs/OutputSubsetOutputDatasetFacet"


class Listener:
    """A StatsD that adds up what it is sent."""

    def __init__(self):
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.bind(("127.0.0.1", 0))
        self.port = self.socket.getsockname()[1]
        self.counters = Counter()
        threading.Thread(target=self._listen, daemon=True).start()

    def _listen(self):
        while True:
            try:
                packet = self.socket.recv(65536).decode()
            except OSError:
                return
            for line in packet.splitlines():
                name, _, rest = line.partition(":")
                value, kind = rest.split("|")[:2]
                if kind == "c":
                    self.counters[name] += int(value)

    def of_the_kit(self):
        return {name: n for name, n in self.counters.items() if name.startswith("airflow.mapping_kit.")}


@pytest.fixture(scope="module")
def told(tmp_path_factory):
    """Run the DAG once on a scheduler that tells OpenLineage and StatsD; return what they were told."""
    folder = tmp_path_factory.mktemp("told")
    (folder / "raw").mkdir()
    (folder / "raw" / "a.csv").write_text("origin,number\nEWR,1\nEWR,2\nLGA,3\n")
    (folder / "dags").mkdir()
    shutil.copy(DAG, folder / "dags")
    events, statsd = folder / "events.jsonl", Listener()
    transport = {"type": "file", "log_file_path": str(events), "append": True}
    with Processes() as processes:
        airflow = Airflow(
            processes,
            Postgres(processes, folder / "postgres.log"),
            home=folder / "airflow",
            dags_folder=folder / "dags",
            settings={
                "OPENLINEAGE__TRANSPORT": json.dumps(transport),
                "METRICS__STATSD_ON": "True",
                "METRICS__STATSD_HOST": "127.0.0.1",
                "METRICS__STATSD_PORT": str(statsd.port),
            },
            env={"TOLD_FOLDER": str(folder)},
        )
        airflow.migrate()
        airflow.start_scheduler()
        airflow.wait_for_dag("told")
        run_id = airflow.trigger("told")
        assert airflow.wait("told", run_id) == "failed"  # a batch
        wanted = Counter({"load": 3, "hidden": 1, "ship": 3})
        for _ in range(100):
            ended = [
                json.loads(line)
                for line in (events.read_text().splitlines() if events.exists() else ())
                if '"START"' not in line
            ]
            seen = Counter(event["job"]["name"].removeprefix("told.") for event in ended)
            if all(seen[task] >= number for task, number in wanted.items()):
                break
            time.sleep(0.2)
        yield SimpleNamespace(
            folder=folder, events=ended, text=events.read_text(), metrics=statsd.of_the_kit()
        )
        statsd.socket.close()


def events_of(told, task_id):
    return [event for event in told.events if event["job"]["name"] == f"told.{task_id}"]


def output_of(event):
    (output,) = event["outputs"]
    return output


def test_openlineage_is_told_which_partition_of_which_lake_was_made_of_which_files(told):
    done = [event for event in events_of(told, "load") if event["eventType"] == "COMPLETE"]
    subsets = [output_of(event)["outputFacets"]["subset"] for event in done]
    assert {subset["_schemaURL"] for subset in subsets} == {SUBSET}
    assert sorted(json.dumps(subset["outputCondition"], sort_keys=True) for subset in subsets) == [
        json.dumps(
            {
                "partitions": [{"dimensions": {"origin": origin}, "identifier": f"origin={origin}"}],
                "type": "partition",
            },
            sort_keys=True,
        )
        for origin in ("EWR", "LGA")
    ]
    for event in done:
        assert (output_of(event)["namespace"], output_of(event)["name"]) == (
            "file",
            str(told.folder / "lake"),
        )
        assert [(one["namespace"], one["name"]) for one in event["inputs"]] == [
            ("file", str(told.folder / "raw"))
        ]
    rows = [output_of(event)["outputFacets"]["outputStatistics"]["rowCount"] for event in done]
    assert sorted(rows) == [1, 2]


def test_what_failed_wrote_no_partition(told):
    (failed,) = (event for event in events_of(told, "load") if event["eventType"] == "FAIL")
    assert not output_of(failed).get("outputFacets")
    assert "on_empty='fail'" in json.dumps(failed["run"]["facets"])


def test_a_hidden_value_is_a_digest_in_events(told):
    assert "-zyzzyva-" not in told.text
    (event,) = events_of(told, "hidden")
    partitions = output_of(event)["outputFacets"]["subset"]["outputCondition"]["partitions"]
    assert len({partition["identifier"] for partition in partitions}) == 2
    assert output_of(event)["outputFacets"]["outputStatistics"]["rowCount"] == 2


def test_statsd_counts_pieces_items_rows_and_files_by_dag_and_task(told):
    counted = {name.removeprefix("airflow.mapping_kit."): number for name, number in told.metrics.items()}
    sizes = {name: counted.pop(name) for name in list(counted) if name.startswith("bytes")}
    assert counted == {
        # 2 of load and of hidden, 2 of ship. Of ship one item is tried again, and one isn't.
        "pieces.succeeded": 6,
        "pieces.succeeded.told.load": 2,
        "pieces.succeeded.told.hidden": 2,
        "pieces.succeeded.told.ship": 2,
        "pieces.retried": 2,
        "pieces.retried.told.ship": 2,
        "pieces.failed": 3,
        "pieces.failed.told.load": 1,
        "pieces.failed.told.ship": 2,
        "rows": 5,
        "rows.told.load": 3,
        "rows.told.hidden": 2,
        "files": 4,
        "files.told.load": 2,
        "files.told.hidden": 2,
    }
    assert sizes["bytes"] == sizes["bytes.told.load"] + sizes["bytes.told.hidden"]


def test_a_notifier_of_a_mapped_task_gets_the_label_of_the_piece_that_failed(told):
    assert (told.folder / "notes.txt").read_text().splitlines() == [r"load of Zoë's/%2F\n<b> failed"]
