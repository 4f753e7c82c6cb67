"""A TriggerDagRunOperator that is executed within a task."""
from airflow import DAG
from airflow.decorators import task
from airflow.models import BaseOperator
from airflow.operators.python import PythonOperator
from airflow.operators.trigger_dagrun import TriggerDagRunOperator


def start_each(mails, **context):
    for mail in mails:
        operator = TriggerDagRunOperator(task_id=f"mail_{mail}", trigger_dag_id="answer", conf={"mail": mail})
        operator.execute(context)  # MAP002: 9 "only the first run starts"


@task
def start_one(**context):
    TriggerDagRunOperator(task_id="answer", trigger_dag_id="answer").execute(context=context)  # MAP002: 5 "'answer'"


def helper(context):
    TriggerDagRunOperator(task_id="answer", trigger_dag_id="answer").execute(context)  # MAP002: 5


@task
def by_a_helper(**context):
    helper(context)


class StartOperator(BaseOperator):
    """An operator that is made of another one."""

    def execute(self, context):
        return TriggerDagRunOperator(task_id="answer", trigger_dag_id="answer").execute(context)


def on_failure(context):
    TriggerDagRunOperator(task_id="repair", trigger_dag_id="repair").execute(context)


with DAG("mails", on_failure_callback=on_failure, default_args={"on_retry_callback": on_failure}):
    PythonOperator(task_id="start", python_callable=start_each)
    start_one()
    by_a_helper()
    StartOperator(task_id="own")
