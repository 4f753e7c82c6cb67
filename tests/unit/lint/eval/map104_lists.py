"""Operators in a list, run one after another."""
from airflow.decorators import task
from airflow.operators.bash import BashOperator


@task
def one_by_one(names, **context):
    steps = [BashOperator(task_id=name, bash_command="load") for name in names]
    for step in steps:
        step.execute(context)  # MAP104: 9 "in a loop"
    for step in (BashOperator(task_id="a", bash_command="a"), BashOperator(task_id="b", bash_command="b")):
        step.execute(context)  # MAP104: 9 "in a loop"


@task
def statements(hook, names):
    for cursor in [hook.cursor(name) for name in names]:
        cursor.execute("SELECT 1")
