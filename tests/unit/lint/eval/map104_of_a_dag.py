"""Tasks that a DAG makes by its own decorator: `@dag.task`."""
from airflow import DAG
from airflow.operators.bash import BashOperator
from psycopg2 import connect

other = DAG("other")

with DAG("of_a_dag") as dag:

    @dag.task
    def load(names):
        for name in names:
            _create(name)

    @other.task(retries=2)
    def load_one():
        BashOperator(task_id="load", bash_command="load").execute({})  # MAP104: 9

    @dag.task_group
    def group():
        BashOperator(task_id="first", bash_command="first") >> BashOperator(task_id="second", bash_command="second")

    def _create(name):
        operator = BashOperator(task_id=f"create_{name}", bash_command=f"create {name}", dag=dag)
        return operator.execute({})  # MAP104: 16


    @dag.task
    def load_by_others():
        one = _operator("one")
        one.execute({})  # MAP104: 9 "BashOperator"
        opened("one").execute({})

    def _operator(name):
        operator = BashOperator(task_id=name, bash_command=name)
        return operator


def opened(name):
    connection = connect(name)
    return connection


@dag.callback
def alert(context):
    BashOperator(task_id="alert", bash_command="alert").execute(context)
