from airflow import DAG
from airflow.decorators import task
from airflow.operators.trigger_dagrun import TriggerDagRunOperator  # the old way
from airflow_mapping_kit.operators.dagrun import TriggerDagRunPerItemOperator


@task
def confs():
    return [{"order": 1}]


with DAG("main") as dag:
    plan = confs()
    plan >> TriggerDagRunPerItemOperator(task_id="ship", trigger_dag_id="ship_order", items=plan, item_key=None, poke_interval=5)
    # Not these: what they do can't be said so.
    TriggerDagRunOperator.partial(task_id="a", trigger_dag_id="x", reset_dag_run=True).expand(conf=plan)
    TriggerDagRunOperator.partial(
        task_id="b",
        trigger_dag_id="x",  # a word about it
    ).expand(conf=plan)
