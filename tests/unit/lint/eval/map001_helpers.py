"""A module without a DAG: what reads its task's context runs in a task, whichever file hands it over."""
from airflow.api.common.trigger_dag import trigger_dag


def ship_all(dag_id, **context):
    for order in context["dag_run"].conf["orders"]:
        trigger_dag(dag_id, conf={"order": order})  # MAP001: 9


def ship_pulled(**kwargs):
    for order in kwargs["ti"].xcom_pull(task_ids="orders"):
        trigger_dag("ship", conf={"order": order})  # MAP001: 9 "'ship'"


# Who calls these, nobody says.
def ship_some(orders, **kwargs):
    for order in orders:
        trigger_dag("ship", conf={"order": order, "region": kwargs["region"]})


def ship_given(context):
    for order in context["dag_run"].conf["orders"]:
        trigger_dag("ship", conf={"order": order})
