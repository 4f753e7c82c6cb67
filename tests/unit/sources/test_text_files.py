"""Rows of CSV and of JSON Lines, and what is said where they are none."""

from __future__ import annotations

import bz2
import csv
import gzip
import json
import logging
import lzma
import os
import tracemalloc

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_mapping_kit.compat import AirflowException
from airflow_mapping_kit.exceptions import MappingKitError, SourceError, StorageError
from airflow_mapping_kit.sources.rows import Files


def packed(data):
    """Pack with gzip, without the time: workers of pytest compare the names of tests."""
    return gzip.compress(data, mtime=0)


TABLE = b"id,name\n1,Oslo\n2,Rome\n"
ROWS = [{"id": "1", "name": "Oslo"}, {"id": "2", "name": "Rome"}]


@pytest.fixture
def rows(tmp_path):
    """Return a function that writes a file and reads its rows."""

    def of(name, content=None, **kwargs):
        if content is not None:
            (tmp_path / name).write_bytes(content)
        return list(Files(str(tmp_path / name), **kwargs).rows())

    return of


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.csv", TABLE),
        ("A.CSV", TABLE),
        ("without a last line end.csv", TABLE.rstrip()),
        ("from excel.csv", b"\xef\xbb\xbf" + TABLE.replace(b"\n", b"\r\n")),
        ("old.csv", TABLE.replace(b"\n", b"\r")),
        ("blank lines.csv", TABLE.replace(b"\n", b"\n\n")),
        ("a.tsv", TABLE.replace(b",", b"\t")),
        ("a.csv.gz", packed(TABLE)),
        ("two members.csv.gz", packed(TABLE[:12]) + packed(TABLE[12:])),
        ("a.csv.bz2", bz2.compress(TABLE)),
        ("a.csv.xz", lzma.compress(TABLE)),
        ("lines.jsonl", "\n".join(map(json.dumps, ROWS)).encode()),
        ("lines.ndjson.gz", packed("\r\n\n".join(map(json.dumps, ROWS)).encode())),
    ],
)
def test_rows_come_as_the_name_says(rows, name, content):
    assert rows(name, content) == ROWS


def test_zstd_is_read_where_pyarrow_is_installed(rows):
    pyarrow = pytest.importorskip("pyarrow")
    packed = pyarrow.compress(TABLE, codec="zstd", asbytes=True)
    assert rows("a.csv.zst", packed) == ROWS
    assert rows("b.csv.zst", packed + packed[:0]) == ROWS


def test_what_reads_parquet_and_zstd_is_named_where_it_is_missing(rows, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "pyarrow", None)
    for name in ("a.parquet", "a.csv.zst"):
        with pytest.raises(SourceError, match=r"pip install 'airflow-mapping-kit\[parquet\]'"):
            rows(name, TABLE)


def test_what_reads_from_s3_is_named_where_it_is_missing(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "boto3.exceptions", None)
    for path in ("s3://aws@lake/a.csv", "s3://aws@lake/*.csv"):
        with pytest.raises(StorageError, match=r"pip install 'airflow-mapping-kit\[amazon\]'"):
            list(Files(path).rows())


def test_values_of_a_table_are_text_whatever_they_hold(rows):
    text = 'a,b\n007,""\n"say ""yes"", twice",\n"two\nlines",1e5\n'
    assert rows("a.csv", text.encode()) == [
        {"a": "007", "b": ""},
        {"a": 'say "yes", twice', "b": ""},
        {"a": "two\nlines", "b": "1e5"},
    ]


def test_an_item_of_json_lines_is_any_json_value(rows):
    values = [{"b": [1, None]}, [], "x\u2028y", 1.5, True, None, 10**30, "😀"]
    lines = "\n".join(json.dumps(value, ensure_ascii=index % 2 == 0) for index, value in enumerate(values))
    assert rows("a.jsonl", lines.encode()) == values


def test_columns_are_chosen_and_named_in_their_order(rows):
    assert rows("a.csv", b"a,b,a,\n1,2,3,4\n", columns=["b"]) == [{"b": "2"}]
    assert [list(row) for row in rows("b.csv", TABLE, columns=["name", "id"])] == [["name", "id"]] * 2
    assert rows("a.jsonl", b'{"a": 1, "b": 2}', columns=["b"]) == [{"b": 2}]


def test_another_delimiter_format_and_encoding_are_said(rows):
    text = "id;name\n1;Zürich\n"
    expected = [{"id": "1", "name": "Zürich"}]
    assert rows("a.csv", text.encode(), delimiter=";") == expected
    assert rows("export", text.encode("cp1252"), delimiter=";", format="csv", encoding="cp1252") == expected
    assert rows("b.csv", text.encode("utf-16"), delimiter=";", encoding="utf-16") == expected
    assert rows("c.csv", b"id;name\n1;x\n", delimiter=",") == [{"id;name": "1;x"}]


def test_a_table_of_a_header_alone_has_no_rows(rows):
    assert rows("a.csv", b"id,name\n") == []


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("a.csv", b"", "a.csv is empty: a table has at least a header"),
        ("a.csv.gz", packed(b""), "is empty"),
        ("a.jsonl", b"", "a.jsonl is empty"),
        ("a.csv", b"\n\n1\n", "line 1, is blank"),
        ("a.csv", TABLE + b"3,Lima,x\n", "a.csv, line 4, has 3 values for 2 columns"),
        ("a.csv", TABLE + b"3\n", "line 4, has 1 value for 2 columns, and none for 'name'"),
        ("a.csv", b'a,b\n"x\ny",1\n2\n', "line 4, has 1 value"),
        ("a.csv", b"id,name,id\n", "has the column 'id' 2 times"),
        ("a.csv", b",name\n", "column 1 has no name"),
        ("a.csv", b"id;name\n1;Oslo\n", 'Say delimiter=";"'),
        ("a.csv", TABLE + b'3,"Lima\n' + TABLE, "the row after line 3, can't be read as CSV"),
        ("a.csv", TABLE + b'3,"Li"ma"\n', "the row after line 3, can't be read as CSV"),
        (
            "a.csv",
            TABLE + b'3,"Lima\n' + TABLE * 60_000,
            "the row after line 3, is longer .* a quote is not closed",
        ),
        ("a.csv", TABLE + b"3," + b"x" * 2**20 + b"\n", "line 4, is longer than 1,048,576 characters"),
        ("a.csv", b"x" * 2**21, "line 1, is longer than"),
        ("a.csv", TABLE + "3,Zürich\n".encode("cp1252"), r"line 4, is not UTF-8: 0xFC after .*3,Z'"),
        ("a.csv", TABLE * 9999 + b"\xff", "line 29,998, is not UTF-8: 0xFF"),
        ("a.csv", TABLE.decode().encode("utf-16"), 'is UTF-16, not UTF-8: set encoding="utf-16"'),
        ("a.csv", TABLE.decode().encode("utf-16-le"), "line 1, contains the character NUL"),
        (
            "a.jsonl",
            b'{"a": 1}\n{"a": NaN}\n',
            "a.jsonl, line 2, contains NaN, which JSON doesn't have: write null",
        ),
        ("a.jsonl", b'{"a": -Infinity}', "line 1, contains -Infinity"),
        ("a.jsonl", b"[1e999]", "line 1, contains the number '1e999'"),
        ("a.jsonl", b'1\n\n{"a": \n', "line 3, is not one JSON value: Expecting value at character 8"),
        ("a.jsonl", b"1 2\n", "Extra data at character 3"),
        ("a.jsonl", b'[\n{"a": 1}\n]', "Turn an array into lines"),
        ("a.jsonl", b'{"a": 1, "a": 2}', "has 'a' twice in one object"),
        ("a.jsonl", b'"\\u0000"', "line 1, contains the character NUL"),
        ("a.jsonl", b'{"a": ["\\ud800"]}', "half a surrogate pair"),
        ("a.jsonl", b"[" * 10**5 + b"]" * 10**5, "nested too deeply"),
        ("a.csv.gz", TABLE, "a.csv.gz can't be unpacked as gzip: Not a gzipped file"),
        ("a.csv.gz", packed(TABLE)[:-9], "is incomplete"),
        ("a.csv.bz2", bz2.compress(TABLE)[:-9], "is incomplete"),
        ("a.csv.bz2", TABLE, "unpacked as bz2"),
        ("a.csv.xz", lzma.compress(TABLE)[:-9], "is incomplete"),
    ],
)
def test_what_is_no_row_is_named_by_its_file_and_line(rows, name, content, said):
    with pytest.raises(SourceError, match=said):
        rows(name, content)


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("a.json", 'set format="jsonl"'),
        ("a.xlsx", "save it as CSV"),
        ("a.csv.zip", "unpack it"),
        ("a.csv.lz4", "compress it as .gz"),
        ("orders", "name its format"),
        ("a.parquet.gz", "Parquet compresses its own content"),
    ],
)
def test_a_name_that_says_nothing_known_names_what_to_do(rows, name, said):
    with pytest.raises(SourceError, match=said):
        rows(name, TABLE)


@pytest.mark.parametrize(
    ("how", "said"),
    [
        ({"encoding": "klingon"}, "encoding='klingon' is unknown"),
        ({"encoding": "base64"}, "encoding='base64' is unknown"),
        ({"delimiter": ";;"}, "use one character"),
        ({"delimiter": "\n"}, "use one character"),
        ({"format": "xml"}, "choose one of csv, jsonl, parquet"),
        ({"columns": []}, "names no column"),
        ({"columns": "id"}, r"write it as a list, \['id'\]"),
        ({"columns": ["id", "id"]}, "name each column once"),
        ({"columns": ["city"]}, r"has no column 'city': it has \['id', 'name'\]"),
    ],
)
def test_a_way_to_read_that_cannot_be_is_named(rows, how, said):
    with pytest.raises(MappingKitError, match=said):
        rows("a.csv", TABLE, **how)


def test_passwords_are_not_shown_by_a_row_that_is_broken(rows):
    with pytest.raises(SourceError) as error:
        rows("a.csv", b"user,password,x\nme,quagga,1,2\n")
    assert "quagga" not in str(error.value)


class TestGlobs:
    def test_give_the_rows_of_their_files_in_the_order_of_names(self, rows, tmp_path):
        for name in ("b", "a", "10", "9", "_SUCCESS", ".hidden"):
            (tmp_path / f"{name}.csv").write_bytes(b"id\n%s\n" % name.encode())
        for folder in ("sub", "_temporary", "day=1"):
            (tmp_path / folder).mkdir()
            (tmp_path / folder / "c.csv").write_bytes(b"id\nc\n")
        (tmp_path / "folder.csv").mkdir()
        assert [row["id"] for row in rows("*.csv")] == ["10", "9", "a", "b"]
        assert [row["id"] for row in Files(f"file://{tmp_path}/*.csv").rows()] == ["10", "9", "a", "b"]
        assert [row["id"] for row in rows("[ab].csv")] == ["a", "b"]
        assert [row["id"] for row in rows("**/c.csv")] == ["c", "c"]
        assert [row["id"] for row in rows("*/?.csv")] == ["c", "c"]

    def test_that_match_nothing_may_match_later(self, rows):
        with pytest.raises(AirflowException, match="No file matches"):
            rows("*.csv")

    def test_of_files_with_other_columns_name_both(self, rows, tmp_path):
        (tmp_path / "a.csv").write_bytes(TABLE)
        (tmp_path / "b.csv").write_bytes(b"name,city\n1,2\n")
        with pytest.raises(
            SourceError, match=r"b.csv has other .*a.csv: it lacks \['id'\] and has \['city'\]"
        ):
            rows("*.csv")
        assert len(rows("*.csv", columns=["name"])) == 3

    def test_of_several_formats_name_two(self, rows, tmp_path):
        (tmp_path / "a.csv").write_bytes(TABLE)
        (tmp_path / "b.jsonl").write_bytes(b"1\n")
        with pytest.raises(SourceError, match=r"different formats, .*a.csv' and .*b.jsonl"):
            rows("*")


class TestFiles:
    def test_that_are_not_there_may_be_there_later(self, rows):
        with pytest.raises(AirflowException, match=r"There is no file .*none.csv'. Check the path"):
            rows("none.csv")

    @pytest.mark.parametrize(
        "path", ["data/", "", None, 5, "s3://lake", "s3://aws@/key.csv", "nowhere://a/b.csv"]
    )
    def test_that_are_none_fail_at_once(self, path):
        with pytest.raises(StorageError):
            list(Files(path if path is not None else "  ").rows())

    def test_that_are_folders_name_a_glob(self, rows, tmp_path):
        (tmp_path / "orders").mkdir()
        with pytest.raises(StorageError, match=r"is a folder: name its files, such as .*orders/\*.csv"):
            rows("orders", format="csv")

    @pytest.mark.parametrize("path", ["/dev/zero", "pipe"])
    def test_that_are_none_on_disk_are_not_waited_for(self, tmp_path, path):
        os.mkfifo(tmp_path / "pipe")
        with pytest.raises(StorageError, match="can't be read twice"):
            list(Files(str(tmp_path / path), format="csv").rows())

    def test_that_change_while_they_are_read_fail_the_task_and_not_its_retry(self, tmp_path):
        path = tmp_path / "a.csv"
        path.write_bytes(TABLE * 10_000)
        rows = Files(str(path)).rows()
        next(rows)
        with path.open("ab") as file:
            file.write(b"3,Lima\n")
        with pytest.raises(AirflowException, match="changed while it was read") as error:
            list(rows)
        assert not isinstance(error.value, MappingKitError)
        assert len(list(Files(str(path)).rows())) == 30_000

    def test_that_are_replaced_meanwhile_are_read_as_they_were(self, tmp_path):
        path = tmp_path / "a.csv"
        path.write_bytes(TABLE)
        rows = Files(f"file://{path}").rows()
        first = next(rows)
        (tmp_path / "new").write_bytes(b"id,name\n9,x\n")
        (tmp_path / "new").replace(path)
        assert [first, *rows] == ROWS

    def test_are_told_in_the_log_with_how_many_rows_they_have(self, rows, caplog):
        with caplog.at_level(logging.INFO):
            rows("a\nb.csv", TABLE)
        assert "a\\nb.csv has 2 rows." in caplog.text


text = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0\ufeff"), max_size=9)


@given(st.lists(st.lists(text, min_size=2, max_size=2), max_size=20))
def test_any_table_that_python_writes_is_read_back(tmp_path_factory, table):
    path = tmp_path_factory.getbasetemp() / "any.csv"
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([["first", "second"], *table])
    expected = [dict(zip(("first", "second"), row, strict=True)) for row in table]
    assert list(Files(str(path)).rows()) == expected


def test_memory_does_not_grow_with_the_number_of_rows(tmp_path):
    path = tmp_path / "a.csv"
    with path.open("w") as file:
        file.write("id,key\n")
        file.writelines(f"{number},landing/{number:07}.csv\n" for number in range(50_000))
    rows = Files(str(path)).rows()
    next(rows)
    tracemalloc.start()
    try:
        assert sum(1 for _ in rows) == 49_999
        assert tracemalloc.get_traced_memory()[1] < 2**20
    finally:
        tracemalloc.stop()
