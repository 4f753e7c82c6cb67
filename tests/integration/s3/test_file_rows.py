"""file_rows and s3_keys over an inventory, against a server."""

from __future__ import annotations

import csv
import datetime
import gzip
import io
import json

import pytest

from airflow_mapping_kit.compat import AirflowException, AirflowFailException
from airflow_mapping_kit.generators import file_rows, s3_keys
from airflow_mapping_kit.sources.rows import Files
from airflow_mapping_kit.storage import opened

TABLE = b"id,name\n1,Oslo\n2,Rome\n"


class _Instance:
    map_index = -1


def plan(generator, *args, **kwargs):
    """Run a generator as Airflow would: through its operator's execute."""
    from airflows import DAG

    with DAG("plan", schedule=None, start_date=datetime.datetime(2024, 1, 1)):
        operator = generator(*args, **kwargs).operator
    return operator.execute({"ti": _Instance()})


def test_a_glob_gives_the_rows_of_all_objects_that_match_in_batches(bucket):
    for key in ("b", "a", "sub/c", "_SUCCESS"):
        bucket.put(
            f"orders/{key}.csv.gz", gzip.compress(b"id,of\n1,%s\n2,%s\n" % (key.encode(), key.encode()))
        )
    bucket.put("orders/", b"")
    bucket.put("orders2/a.csv.gz", b"")
    at = f"s3://s3@{bucket.name}/orders"

    def rows(pattern, **how):
        return [row["of"] for row in plan(file_rows, f"{at}/{pattern}", **how)]

    assert plan(file_rows, f"{at}/*.csv.gz", batch_size=3) == [
        [{"id": "1", "of": "a"}, {"id": "2", "of": "a"}, {"id": "1", "of": "b"}], [{"id": "2", "of": "b"}]
    ]  # fmt: skip
    assert rows("**/*.csv.gz") == ["a", "a", "b", "b", "sub/c", "sub/c"]
    assert rows("[!a].csv.gz") == ["b", "b"]
    with pytest.raises(AirflowFailException, match="is not a valid glob"):
        rows("[z-a].csv.gz")


def test_text_is_asked_for_in_few_large_blocks(bucket, proxy, monkeypatch):
    monkeypatch.setattr(opened, "_BLOCK", 1 << 16)
    content = TABLE * 9_000
    bucket.put("a.csv", content)
    assert len(plan(file_rows, f"s3://s3@{bucket.name}/a.csv", batch_size=18_000)) == 2
    assert [request.kind for request in proxy.requests] == ["HEAD", *["GET"] * -(-len(content) // (1 << 16))]


def test_of_parquet_only_the_columns_that_are_wanted_are_asked_for(bucket, proxy):
    pa = pytest.importorskip("pyarrow")
    import pyarrow.parquet as pq

    file = io.BytesIO()
    numbers = list(range(50_000))
    pq.write_table(pa.table({"n": numbers, "x": [f"{n}" * 99 for n in numbers]}), file, compression="none")
    bucket.put("a.parquet", file.getvalue())

    rows = plan(file_rows, f"s3://s3@{bucket.name}/a.parquet", columns=["n"])

    assert rows == [{"n": n} for n in numbers]
    assert sum(request.kind == "GET" for request in proxy.requests) < 9
    assert len(file.getvalue()) > 20 << 20


def test_an_object_that_changes_while_it_is_read_fails_the_task_and_not_its_retry(bucket, proxy, monkeypatch):
    monkeypatch.setattr(opened, "_BLOCK", 1 << 16)
    bucket.put("a.csv", TABLE * 9_000)
    proxy.before = lambda request: bucket.put("a.csv", TABLE * 8_000) if request.number == 3 else None

    with pytest.raises(AirflowException, match="changed while it was read") as error:
        plan(file_rows, f"s3://s3@{bucket.name}/a.csv")

    assert not isinstance(error.value, AirflowFailException)
    proxy.before = lambda _: None
    assert len(plan(file_rows, f"s3://s3@{bucket.name}/a.csv", batch_size=24_000)) == 1


def test_any_other_file_system_of_airflows_gives_the_same(bucket):
    # Of `s3a://` it has one of fsspec's, like those for Google's and Microsoft's storage.
    bucket.put("orders/a.csv.gz", gzip.compress(TABLE))
    bucket.put("orders/b.csv.gz", gzip.compress(b"id,name\n3,Lima\n"))
    bucket.put("orders/_b.csv.gz", b"")
    at = f"s3a://s3@{bucket.name}/orders"
    assert [row["id"] for row in plan(file_rows, f"{at}/*.csv.gz")] == ["1", "2", "3"]
    with pytest.raises(AirflowException, match=r"There is no file 's3a://s3@.*/none.csv'"):
        plan(file_rows, f"{at}/none.csv")

    rows = Files(f"{at}/a.csv.gz").rows()
    next(rows)
    bucket.put("orders/a.csv.gz", gzip.compress(TABLE * 2))
    with pytest.raises(AirflowException, match="changed while it was read"):
        list(rows)


def test_an_object_that_is_deleted_while_it_is_read_changed(bucket, proxy, monkeypatch):
    monkeypatch.setattr(opened, "_BLOCK", 1 << 16)
    bucket.put("a.csv", TABLE * 9_000)
    gone = {"Bucket": bucket.name, "Key": "a.csv"}
    proxy.before = (
        lambda request: bucket.client.delete_object(**gone) and None if request.number == 3 else None
    )

    with pytest.raises(AirflowException, match="changed while it was read"):
        plan(file_rows, f"s3://s3@{bucket.name}/a.csv")


def test_an_object_that_is_not_there_may_be_there_later(bucket):
    with pytest.raises(AirflowException, match=r"There is no file 's3://s3@.*/a.csv'") as error:
        plan(file_rows, f"s3://s3@{bucket.name}/a.csv")
    assert not isinstance(error.value, AirflowFailException)
    with pytest.raises(AirflowException, match="No file matches"):
        plan(file_rows, f"s3://s3@{bucket.name}/*.csv")


def test_what_s3_refuses_fails_at_once_and_names_the_connection(bucket, proxy):
    proxy.before = lambda _: "403"
    with pytest.raises(AirflowFailException, match=rf"read s3://s3@{bucket.name}/a.csv .*connection 's3'"):
        plan(file_rows, f"s3://s3@{bucket.name}/a.csv")


@pytest.fixture
def inventory(bucket):
    """Return a function that writes an inventory as S3 does, and returns its URI."""

    def write(columns, *files, format="CSV", source="lake", **said):
        keys = []
        for number, rows in enumerate(files):
            if format == "CSV":
                text = io.StringIO()
                csv.writer(text, quoting=csv.QUOTE_ALL).writerows(rows)
                content, suffix = gzip.compress(text.getvalue().encode()), "csv.gz"
            else:
                import pyarrow.parquet as pq

                content, suffix = io.BytesIO(), "parquet"
                pq.write_table(rows, content)
                content = content.getvalue()
            keys.append(f"lake/daily/data/{number}.{suffix}")
            bucket.put(keys[-1], content)
        manifest = {
            "sourceBucket": source,
            "destinationBucket": f"arn:aws:s3:::{bucket.name}",
            "version": "2016-11-30",
            "creationTimestamp": "1514944800000",
            "fileFormat": format,
            "fileSchema": columns,
            "files": [
                {"key": key, "size": 1, "MD5checksum": "f11166069f1990abeb9c97ace9cdfabc"} for key in keys
            ],
            **said,
        }
        bucket.put("lake/daily/2024-11-20T01-00Z/manifest.json", json.dumps(manifest, indent=4).encode())
        return f"s3://s3@{bucket.name}/lake/daily/2024-11-20T01-00Z/manifest.json"

    return write


SCHEMA = "Bucket, Key, VersionId, IsLatest, IsDeleteMarker, Size, LastModifiedDate"
OBJECTS = [
    ["lake", "in/a+b%2Bc%2F%C3%A9.csv", "v1", "true", "false", "4", "2024-11-20T05:00:00.000Z"],
    ["lake", "in/old.csv", "v1", "false", "false", "4", "2024-11-19T05:00:00.000Z"],
    ["lake", "in/gone.csv", "v2", "true", "true", "", "2024-11-19T05:00:00.000Z"],
    ["lake", "in/", "v1", "true", "false", "0", "2024-11-19T05:00:00.000Z"],
]
MORE = [
    ["lake", "in/z.csv", "v1", "true", "false", "9", "2024-11-20T06:00:00.000Z"],
    ["lake", "in/a.csv", "v1", "true", "false", "7", "2024-11-18T06:00:00.000Z"],
    ["lake", "out/b.csv", "v1", "true", "false", "7", "2024-11-18T06:00:00.000Z"],
]


def test_keys_come_from_an_inventory_as_it_has_them(inventory):
    uri = inventory(SCHEMA, OBJECTS, MORE)

    assert plan(s3_keys, "lake", "in/", inventory=uri) == ["in/a b+c/é.csv", "in/z.csv", "in/a.csv"]
    assert plan(s3_keys, "lake", "in/", inventory=uri, match="?.csv", batch_size=1) == [
        ["in/z.csv"],
        ["in/a.csv"],
    ]
    assert plan(s3_keys, "lake", inventory=uri, modified_since="2024-11-20", min_size=5) == ["in/z.csv"]
    assert plan(s3_keys, "lake", "in/", inventory=uri, batch_bytes=13) == [
        ["in/a b+c/é.csv", "in/z.csv"], ["in/a.csv"]
    ]  # fmt: skip


def test_an_inventory_of_current_versions_alone_needs_no_more_than_keys(inventory):
    uri = inventory("Bucket, Key", [["lake", "b%20.csv"], ["lake", "folder/"]])
    assert plan(s3_keys, "lake", inventory=uri) == ["b .csv"]
    with pytest.raises(AirflowFailException, match="lacks the field Size"):
        plan(s3_keys, "lake", inventory=uri, min_size=0)


def test_keys_come_from_an_inventory_as_parquet(inventory):
    pa = pytest.importorskip("pyarrow")
    moment = datetime.datetime(2024, 11, 20, 6, tzinfo=datetime.timezone.utc)
    rows = pa.table(
        {
            "bucket": ["lake"] * 3,
            "key": ["in/a b%2B.csv", "in/gone", "in/old"],
            "is_latest": [True, True, False],
            "is_delete_marker": [False, True, False],
            "size": pa.array([4, None, 3], pa.int64()),
            "last_modified_date": pa.array([moment] * 3, pa.timestamp("ms", "UTC")),
        }
    )
    schema = (
        "message s3.inventory { required binary bucket (UTF8); required binary key (UTF8); optional boolean "
        "is_latest; optional boolean is_delete_marker; optional int64 size; optional int64 last_modified_date "
        "(TIMESTAMP_MILLIS); }"
    )
    uri = inventory(schema, rows, format="Parquet")
    assert plan(s3_keys, "lake", inventory=uri, modified_since=moment.isoformat()) == ["in/a b%2B.csv"]
    with pytest.raises(AirflowFailException, match="empty plan"):
        plan(s3_keys.override(on_empty="fail"), "lake", inventory=uri, modified_until=moment.isoformat())


@pytest.mark.parametrize(
    ("rows", "how", "said"),
    [
        (OBJECTS, {"source": "swamp"}, "is the inventory of 'swamp', not of 'lake'"),
        (OBJECTS, {"fileFormat": "ORC"}, "configure it in S3 as CSV or Parquet"),
        (OBJECTS, {"files": "none"}, "is not the manifest of an S3 inventory"),
        ([OBJECTS[0][:5]], {}, "0.csv.gz, line 1, has 5 values for 7 columns"),
    ],
)
def test_what_is_no_inventory_of_the_bucket_is_named(inventory, rows, how, said):
    uri = inventory(SCHEMA, rows, **how)
    with pytest.raises(AirflowFailException, match=said):
        plan(s3_keys, "lake", inventory=uri)


def test_an_inventory_whose_files_are_not_there_yet_may_be_whole_later(inventory, bucket):
    uri = inventory(SCHEMA, OBJECTS)
    bucket.client.delete_object(Bucket=bucket.name, Key="lake/daily/data/0.csv.gz")
    with pytest.raises(AirflowException, match="There is no file"):
        plan(s3_keys, "lake", inventory=uri)
    with pytest.raises(AirflowFailException, match="is not in S3"):
        plan(s3_keys, "lake", inventory="manifest.json")
