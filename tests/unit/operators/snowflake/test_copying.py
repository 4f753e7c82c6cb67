from __future__ import annotations

import pytest

from airflow_mapping_kit.exceptions import TargetError
from airflow_mapping_kit.operators.snowflake.copying import check_enclosed, copying
from airflow_mapping_kit.operators.snowflake.hook import check_session, query_url


def how(columns=None, select=None, match=None, options=None):
    return copying(columns, select, match, options)


def test_without_options_a_file_is_loaded_whole_or_not_at_all():
    assert how() == (
        "",
        "",
        "ON_ERROR = ABORT_STATEMENT FORCE = FALSE PURGE = FALSE LOAD_UNCERTAIN_FILES = FALSE "
        "TRUNCATECOLUMNS = FALSE ENFORCE_LENGTH = TRUE RETURN_FAILED_ONLY = FALSE",
    )


@pytest.mark.parametrize(
    ("option", "why"),
    [
        ("ON_ERROR", "loaded in part"),
        ("on_error", "loaded in part"),
        ("FORCE", "twice"),
        ("LOAD_UNCERTAIN_FILES", "twice.*copy of the file under a new name"),
        ("PURGE", "S3MoveKeysOperator"),
        ("SIZE_LIMIT", "pass fewer keys"),
        ("RETURN_FAILED_ONLY", "in the answer"),
        ("VALIDATION_MODE", "loads nothing"),
        ("ENFORCE_LENGTH", "TRUNCATECOLUMNS"),
        ("PATTERN", "s3_keys"),
        ("FILES", "keys says"),
        ("FILE_FORMAT", "file_format="),
        ("MATCH_BY_COLUMN_NAME", "match_by_column_name="),
        ("CLUSTER_AT_INGEST_TIME", "doesn't know it"),
        ("TRUNCATECOLUMNS = TRUE FORCE", "doesn't know it"),
    ],
)
def test_an_option_that_would_break_the_promise_is_refused_by_name_and_with_the_reason(option, why):
    with pytest.raises(
        TargetError, match=rf"copy_options has '{option.upper()}': .*{why}.* INCLUDE_METADATA"
    ):
        how(options={option: True})


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"match": "case_insensitive"}, "match_by_column_name='case_insensitive': write 'CASE_INSENSITIVE'"),
        ({"match": True}, "match_by_column_name=True"),
        (
            {"match": "CASE_SENSITIVE", "select": "$1"},
            "select and match_by_column_name='CASE_SENSITIVE' exclude",
        ),
        ({"match": "CASE_SENSITIVE", "columns": ["a"]}, "columns_array and match_by_column_name"),
        ({"columns": "a"}, "columns_array is 'a': write a list"),
        ({"columns": []}, "columns_array is"),
        ({"columns": ["a b"]}, "columns_array='a b' is no name"),
        ({"columns": ["t.a"]}, "'t.a', which is no column"),
        ({"columns": ["a", "A"]}, "the column 'A' twice"),
        ({"columns": ["a", None]}, "columns_array=None is no name"),
        ({"select": ""}, "select is ''"),
        ({"select": ["$1"]}, "select is"),
        ({"select": " SELECT $1 FROM @stage"}, "a whole query: write what stands between"),
        ({"select": "$1) FORCE = TRUE ("}, r"closes a parenthesis that it doesn't open, at '\) FORCE"),
        ({"select": "$1; DROP TABLE flights"}, "a ; that would end the statement, at '; DROP"),
        ({"select": "nvl($1, 'x)'"}, "opens 1 parentheses"),
        ({"select": "'it''s"}, "a ' that nothing closes"),
        ({"options": "FORCE = TRUE"}, "copy_options is 'FORCE = TRUE': write a dict"),
        ({"options": {"TRUNCATECOLUMNS": "TRUE"}}, "TRUNCATECOLUMNS='TRUE': write True or False"),
        ({"options": {"LOAD_MODE": "x"}}, "LOAD_MODE='x': write 'FULL_INGEST'"),
        ({"options": {"INCLUDE_METADATA": {"f": "METADATA$FILENAME"}}}, "needs match_by_column_name"),
        (
            {"match": "CASE_SENSITIVE", "options": {"INCLUDE_METADATA": {"f": "FILENAME"}}},
            r"gives 'f' 'FILENAME': write one of METADATA\$FILENAME, METADATA",
        ),
        ({"match": "CASE_SENSITIVE", "options": {"INCLUDE_METADATA": ["f"]}}, "write a dict of column"),
    ],
)
def test_what_can_not_be_is_named(arguments, message):
    with pytest.raises(TargetError, match=message):
        how(**arguments)


def test_brackets_in_text_names_and_comments_close_nothing():
    select = """nvl($1, ')'), "a)b", 'it''s \\' ;)', $$ ) ; $$ -- ) and ;
        /* ( */ , $2"""
    assert how(select=select).source('"L"."P"."S"') == f'(SELECT {select}\nFROM @"L"."P"."S"/ t)'


def test_a_format_ends_with_its_parenthesis():
    with pytest.raises(TargetError, match="closes a parenthesis that it doesn't open"):
        check_enclosed("file_format", "TYPE = CSV) FORCE = TRUE (x")


@pytest.mark.parametrize(
    ("tag", "params", "message"),
    [
        ("x" * 2001, None, "2,000 characters at most"),
        (7, None, "query_tag is 7"),
        (None, ["a"], "hook_params is"),
        (None, {"warehouse": "big"}, r"hook_params has \['warehouse'\]: write warehouse="),
    ],
)
def test_a_session_that_can_not_be_is_named(tag, params, message):
    with pytest.raises(TargetError, match=message):
        check_session(tag, params)


def test_a_query_is_found_in_snowsight_where_the_account_is_known():
    assert query_url("ACME", "EU_1", "01b2-c") == (
        "https://app.snowflake.com/acme/eu_1/#/compute/history/queries/01b2-c/detail"
    )
    assert query_url(None, "EU", "01b2") is None
    assert query_url("ACME", "EU", None) is None
