from airflow import DAG
from airflow.decorators import task
from airflow.operators.trigger_dagrun import TriggerDagRunOperator  # the old way


@task
def confs():
    return [{"order": 1}]


with DAG("main") as dag:
    plan = confs()
    plan >> TriggerDagRunOperator.partial(
        task_id="ship", trigger_dag_id="ship_order", wait_for_completion=True, poke_interval=5
    ).expand(conf=plan)
    # Not these: what they do can't be said so.
    TriggerDagRunOperator.partial(task_id="a", trigger_dag_id="x", reset_dag_run=True).expand(conf=plan)
    TriggerDagRunOperator.partial(
        task_id="b",
        trigger_dag_id="x",  # a word about it
    ).expand(conf=plan)
