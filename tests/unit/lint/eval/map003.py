"""A mapped trigger that waits in its slot."""
from airflow.decorators import task_group
from airflow.operators.trigger_dagrun import TriggerDagRunOperator

TriggerDagRunOperator.partial(task_id="a", trigger_dag_id="x", wait_for_completion=True).expand(conf=CONFS)  # MAP003: 1 "keeps its slot", MAP001: 1
TriggerDagRunOperator.partial(task_id="b", trigger_dag_id="x", wait_for_completion=True, deferrable=True).expand(conf=CONFS)  # MAP001: 1
TriggerDagRunOperator.partial(task_id="c", trigger_dag_id="x", wait_for_completion=False).expand(conf=CONFS)  # MAP001: 1
TriggerDagRunOperator.partial(  # MAP003: 1 "one after the other", MAP001: 1
    task_id="d", trigger_dag_id="x", wait_for_completion=True, max_active_tis_per_dagrun=1
).expand(conf=CONFS)


@task_group
def ships(order):
    TriggerDagRunOperator(task_id="w", trigger_dag_id="ship", conf=order, wait_for_completion=True)  # MAP001: 5, MAP003: 5
    TriggerDagRunOperator(task_id="d", trigger_dag_id=order, wait_for_completion=True, deferrable=True)


ships.expand(order=orders())
