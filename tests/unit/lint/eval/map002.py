"""A TriggerDagRunOperator that is executed within a task."""
from airflow import DAG
from airflow.decorators import task
from airflow.models import BaseOperator
from airflow.operators.python import PythonOperator
from airflow.operators.trigger_dagrun import TriggerDagRunOperator


def start_each(mails, **context):
    for mail in mails:
        operator = TriggerDagRunOperator(task_id=f"mail_{mail}", trigger_dag_id="answer", conf={"mail": mail})
        operator.execute(context)  # MAP002: 9 "starts only the first run"


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


# A message came: the sensor calls it.
def on_message(message, **context):
    TriggerDagRunOperator(task_id="answer", trigger_dag_id="answer", conf=message).execute(context)  # MAP002: 5


def start_of_helper(mail):
    return TriggerDagRunOperator(task_id="answer", trigger_dag_id="answer", conf={"mail": mail})


@task
def one_after_another(mails, **context):
    first = TriggerDagRunOperator(task_id="first", trigger_dag_id="first")
    first.execute(context)  # MAP002: 5 "'first'"
    for mail in mails:
        start_of_helper(mail).execute(context)  # MAP002: 9 "starts only the first run"


AwaitMessageTriggerFunctionSensor(task_id="await", event_triggered_function=on_message, topics=["mails"])
