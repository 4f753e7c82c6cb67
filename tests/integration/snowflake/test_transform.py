"""The statements after a load: all of them or none, also where the task is ended."""

from __future__ import annotations

import pytest

from airflow_mapping_kit.compat import AirflowException, AirflowFailException
from airflow_mapping_kit.operators.snowflake.transform import TransformOperator

SQL = """
INSERT INTO flights VALUES (1, 'EWR');  -- a ; in a comment
INSERT INTO flights VALUES (2, 'a;b -- 100%');
-- The end; or is it?
"""


def test_all_statements_are_committed_together(warehouse, through_proxy):
    proxy = through_proxy()

    TransformOperator(task_id="transform", sql=SQL).execute({})

    assert [sql.split()[0] for sql in proxy.statements] == ["BEGIN", "INSERT", "INSERT", "COMMIT"]
    assert warehouse.rows() == [(1, "EWR"), (2, "a;b -- 100%")]


def test_of_statements_one_of_which_fails_none_is_committed(warehouse):
    with pytest.raises(Exception, match="NOWHERE"):
        TransformOperator(task_id="transform", sql=f"{SQL}; DELETE FROM nowhere").execute({})

    assert warehouse.rows() == []


def test_a_task_that_is_ended_runs_no_other_statement_and_commits_nothing(warehouse, through_proxy):
    operator = TransformOperator(task_id="transform", sql=SQL)
    proxy = through_proxy("INSERT", operator.on_kill)

    with pytest.raises(AirflowException, match="The task was ended"):
        operator.execute({})

    words = [sql.split("(")[0].split()[0] for sql in proxy.statements]
    assert words == ["BEGIN", "INSERT", "SELECT"], "the last one cancels"
    assert warehouse.rows() == []


def test_no_statement_is_an_error(warehouse):
    with pytest.raises(AirflowFailException, match="holds no statement"):
        TransformOperator(task_id="transform", sql=" \n").execute({})
