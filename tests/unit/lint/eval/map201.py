"""What a mapped task returned, read by a task that runs whatever failed."""
from airflow.decorators import task
from airflow.operators.python import PythonOperator
from airflow.utils.trigger_rule import TriggerRule


@task
def load(country):
    return country


@task(trigger_rule="all_done")
def summarise(results):
    return list(results)


@task
def by_default(results):
    return list(results)


@task(trigger_rule=TriggerRule.ALL_DONE)
def pulls(ti=None):
    return ti.xcom_pull(task_ids="load")


@task(trigger_rule="all_done")
def only_cleans_up():
    print("done")


loaded = load.expand(country=["us", "fr"])
summarise(loaded)  # MAP201: 1 "'all_done'"
by_default(loaded)
by_default.override(trigger_rule="one_success")(loaded)  # MAP201: 1 "'one_success'"
loaded >> pulls()  # MAP201: 11
loaded >> only_cleans_up()
PythonOperator(task_id="p", python_callable=print, op_args=[loaded], trigger_rule="always")  # MAP201: 1
