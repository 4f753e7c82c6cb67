"""Operators that are run by hand within a task."""
from airflow.decorators import task
from airflow.models import BaseOperator
from airflow.operators.bash import BashOperator
from airflow.providers.slack.operators.slack_webhook import SlackWebhookOperator
from airflow.providers.amazon.aws.transfers.s3_to_redshift import S3ToRedshiftOperator


@task
def loads(keys, **context):
    for key in keys:
        S3ToRedshiftOperator(task_id="load", s3_key=key).execute(context)  # MAP104: 9 "in a loop"


@task
def runs_one(**context):
    ls = BashOperator(task_id="ls", bash_command="ls {{ ds }}")
    return ls.execute(context)  # MAP104: 12 "doesn't render its templates"


def alert(context):
    SlackWebhookOperator(task_id="alert", message="failed").execute(context)


class Both(BaseOperator):
    def execute(self, context):
        BashOperator(task_id="ls", bash_command="ls").execute(context)


loads.override(on_failure_callback=alert)([1])
