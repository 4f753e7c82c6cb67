from airflow.operators.trigger_dagrun import TriggerDagRunOperator
from airflow_mapping_kit.operators.dagrun import TriggerDagRunPerItemOperator

send = TriggerDagRunPerItemOperator(task_id="send", trigger_dag_id="sub", retries=2, items=[{"n": n} for n in range(100)], item_key=None, poke_interval=30)

# What says more than the other operator can do stays.
with_dates = TriggerDagRunOperator.partial(
    task_id="with_dates",
    trigger_dag_id="sub",
    wait_for_completion=True,
    logical_date="{{ ds }}",
).expand(conf=[{"n": n} for n in range(100)])
