"""Loops that make a DAG each turn: its one trigger is no run an item."""
from airflow import DAG
from airflow.operators.bash import BashOperator
from airflow.operators.trigger_dagrun import TriggerDagRunOperator

for country in ("us", "fr"):
    with DAG(f"load_{country}") as dag:
        TriggerDagRunOperator(task_id="t", trigger_dag_id="publish", conf={"country": country})
        BashOperator(task_id="b", bash_command="airflow dags trigger mail --conf '%s'" % country)
        for day in (1, 2):
            TriggerDagRunOperator(  # MAP001: 13 "A loop creates a task for each item"
                task_id=f"t{day}", trigger_dag_id="publish", conf={"country": country, "day": day}
            )
    globals()[dag.dag_id] = dag
