from __future__ import annotations

import pendulum
import pytest

from airflow_mapping_kit.exceptions import TargetError
from airflow_mapping_kit.operators.snowflake import S3KeysToSnowflakeOperator
from airflow_mapping_kit.operators.snowflake.statements import listed
from airflows import DAG

REQUIRED = {"table": "flights", "stage": "landing", "file_format": "(TYPE = CSV)"}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"table": "my flights"}, "table='my flights'"),
        ({"stage": "@landing"}, "without the @"),
        ({"on_changed_file": "reload"}, "on_changed_file='reload': write 'fail' or 'load'"),
    ],
)
def test_what_can_be_known_when_the_dag_is_parsed_is_said_then(arguments, message):
    arguments = {**REQUIRED, **arguments}
    with pytest.raises(TargetError, match=message):
        S3KeysToSnowflakeOperator(task_id="load", keys="a.csv", **arguments)
    with pytest.raises(TargetError, match=message):
        S3KeysToSnowflakeOperator.partial(task_id="load", **arguments)


def test_templated_names_wait_for_their_values():
    operator = S3KeysToSnowflakeOperator(
        task_id="load", keys="a.csv", **{**REQUIRED, "table": "{{ params.table }}"}
    )

    operator.render_template_fields({"params": {"table": "lake.public.flights"}})

    assert operator.table == "lake.public.flights"


def test_every_argument_can_be_mapped():
    with DAG("mapped", schedule=None, start_date=pendulum.datetime(2024, 1, 1)):
        mapped = S3KeysToSnowflakeOperator.partial(task_id="load", file_format="csv").expand_kwargs(
            [{"keys": ["a.csv"], "table": "a", "stage": "s", "stage_prefix": "", "on_changed_file": "load"}]
        )

    assert mapped.operator_class is S3KeysToSnowflakeOperator


@pytest.mark.parametrize(
    ("session", "arguments", "message"),
    [
        ((None, None), {}, "table='flights' has no database"),
        (("LAKE", None), {}, "table='flights' has no schema.*'snowflake_default'"),
        (("LAKE", None), {"schema": "nowhere"}, "schema='nowhere' doesn't exist, or the role may not use it"),
    ],
)
def test_a_name_needs_its_database_and_schema_from_somewhere(session, arguments, message):
    operator = S3KeysToSnowflakeOperator(task_id="load", keys="a.csv", **REQUIRED, **arguments)

    with pytest.raises(TargetError, match=message):
        operator._full_name("table", "flights", session)

    assert str(operator._full_name("table", 'db.s."T"', session)) == '"DB"."S"."T"'


@pytest.mark.parametrize("text", ["(TYPE = CSV", "my format", ""])
def test_a_format_is_a_name_or_options_in_parentheses(text):
    operator = S3KeysToSnowflakeOperator(task_id="load", keys="a.csv", **{**REQUIRED, "file_format": text})

    with pytest.raises(TargetError, match="file_format="):
        operator._file_format(None)


def test_a_long_list_names_the_first_twenty():
    assert listed(", ", map(str, range(22))).endswith("18, 19, and 2 more")
    assert listed(", ", ["a"]) == "a"
