"""What an event says is bounded, and holds no text that Airflow hides."""

from __future__ import annotations

import json
from types import SimpleNamespace

import attr
import pytest

from airflow_mapping_kit.compat import AIRFLOW_3
from airflow_mapping_kit.lineage.console import google_console, s3_console
from airflow_mapping_kit.lineage.datasets import Dataset, Lineage
from airflow_mapping_kit.lineage.done import Done, counted
from airflow_mapping_kit.lineage.events import operator_lineage
from airflow_mapping_kit.lineage.tables import published


def told(done, *outputs):
    return operator_lineage(Lineage(outputs=list(outputs) or [Dataset("s3://lake", "flights")]), done)


def as_json(lineage):
    return [json.loads(json.dumps(attr.asdict(output))) for output in lineage.outputs]


def test_of_many_partitions_all_are_counted_and_the_first_hundred_named():
    done = Done()
    for number in range(5000):
        done.wrote(rows=2, size=10, key=f"n={number}", partition={"n": number})
    (output,) = as_json(told(done))
    facets = output["outputFacets"]
    assert (facets["outputStatistics"]["rowCount"], facets["outputStatistics"]["size"]) == (10000, 50000)
    assert len(facets["subset"]["outputCondition"]["partitions"]) == 100
    assert done.left_out == 4900


def test_however_long_values_and_names_are_an_event_is_short():
    done = Done()
    for number in range(5000):
        done.wrote(rows=1, key="k" * 512, partition={"d" * 5000: f"{number}{'x' * 100_000}"})
    assert len(json.dumps(as_json(told(done, Dataset("file", "/" + "n" * 10_000))))) < 250_000


def test_half_characters_and_nul_are_written_out():
    done = Done()
    done.wrote(rows=1, key="d=\ud800", partition={"d": "a\0b\ud800"})
    (output,) = as_json(told(done))
    (partition,) = output["outputFacets"]["subset"]["outputCondition"]["partitions"]
    assert partition == {"identifier": "d=\\ud800", "dimensions": {"d": "a\\x00b\\ud800"}}


def test_a_secret_that_airflow_knows_is_hidden_in_paths_and_values():
    if AIRFLOW_3:
        from airflow.sdk.log import mask_secret
    else:
        from airflow.utils.log.secrets_masker import mask_secret
    mask_secret("zyzzyva-lineage-1")
    done = Done()
    done.wrote(rows=1, key="d=zyzzyva-lineage-1", partition={"d": "zyzzyva-lineage-1", "api_key": "walrus"})
    done.wrote(place="s3://lake/zyzzyva-lineage-1")
    text = json.dumps(as_json(told(done, Dataset("s3://lake", "zyzzyva-lineage-1"))))
    assert "zyzzyva" not in text
    assert "walrus" not in text


def test_a_table_that_is_published_has_its_snapshot_and_its_name_in_the_catalog():
    table = {
        "mapping_kit_table": "ducklake",
        "name": "main.flights",
        "conn_id": "lake",
        "location": "s3://warehouse/main/flights",
    }
    done = Done()
    done.wrote(rows=3, size=9, key="d=1", partition={"d": 1})
    (output,) = as_json(operator_lineage(published(table, 7), done))
    assert (output["namespace"], output["name"]) == ("s3://warehouse", "main/flights")
    assert output["facets"]["version"]["datasetVersion"] == "7"
    assert output["facets"]["symlinks"]["identifiers"] == [
        {"namespace": "ducklake:lake", "name": "main.flights", "type": "TABLE"}
    ]
    assert operator_lineage(published("no table"), None).outputs == []


def test_what_failed_is_counted_and_not_among_what_was_written():
    done, results = Done(), {"a": {"rows": 3, "bytes": 7, "path": "/lake/a"}, "b": None}
    put = counted(done, lambda place: results[place.key])
    put(SimpleNamespace(key="a", partition={"n": "a"}))
    put(SimpleNamespace(key="b", partition={"n": "b"}))
    with pytest.raises(KeyError):
        put(SimpleNamespace(key="c", partition={"n": "c"}))
    assert done.states == {"success": 1, "skipped": 1, "failed": 1}
    assert (done.rows, done.bytes, done.files, done.partitions) == (3, 7, 1, [("a", {"n": "a"})])


@pytest.mark.parametrize(
    ("endpoint", "partition", "url"),
    [
        ("https://s3.eu-west-1.amazonaws.com", "aws", "https://console.aws.amazon.com/s3/buckets/lake?prefix=a/d%3D1%2526/"),
        ("https://s3.cn-north-1.amazonaws.com.cn", "aws-cn", "https://console.amazonaws.cn/s3/buckets/lake?prefix=a/d%3D1%2526/"),
        ("http://127.0.0.1:9000", "aws", None),
        ("https://amazonaws.com.example.org", "aws", None),
    ],
)  # fmt: skip
def test_a_prefix_is_shown_by_the_console_of_aws_and_of_no_other_server(endpoint, partition, url):
    client = SimpleNamespace(meta=SimpleNamespace(endpoint_url=endpoint, partition=partition))
    assert s3_console(client, "lake", "a/d=1%26/") == url


def test_google_cloud_shows_a_prefix():
    assert (
        google_console("lake", 'a/"b"/') == "https://console.cloud.google.com/storage/browser/lake/a/%22b%22/"
    )
