from airflow.operators.trigger_dagrun import TriggerDagRunOperator

send = TriggerDagRunOperator.partial(
    task_id="send",
    trigger_dag_id="sub",
    wait_for_completion=True,
    poke_interval=30,
    retries=2,
).expand(conf=[{"n": n} for n in range(100)])

# What says more than the other operator can do stays.
with_dates = TriggerDagRunOperator.partial(
    task_id="with_dates",
    trigger_dag_id="sub",
    wait_for_completion=True,
    logical_date="{{ ds }}",
).expand(conf=[{"n": n} for n in range(100)])
