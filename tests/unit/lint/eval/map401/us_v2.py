"""Loads the States, copied again and with other names of its own."""
from airflow import DAG
from airflow.operators.bash import BashOperator
from airflow.operators.python import PythonOperator
from airflow.providers.postgres.hooks.postgres import PostgresHook

COUNTRY = "us"
TABLES = ["orders"]


def extract(table, **context):
    hook = PostgresHook("shop_" + COUNTRY)
    lines = hook.get_records(f"SELECT * FROM {table} WHERE day = %s", parameters=[context["ds"]])
    with open(f"/data/{COUNTRY}/{table}.csv", "w") as file:
        for row in lines:
            file.write(",".join(str(value) for value in row))
    return len(lines)


def check(table, ti, **context):
    count = ti.xcom_pull(task_ids=f"extract_{table}")
    if count == 0:
        raise ValueError(f"no rows of {table}")
    return count


with DAG("load_us", schedule="@hourly", catchup=False, max_active_runs=1) as dag:
    done = BashOperator(task_id="done", bash_command="echo us")
    for table in TABLES:
        extracted = PythonOperator(task_id=f"extract_{table}", python_callable=extract, op_args=[table])
        checked = PythonOperator(task_id=f"check_{table}", python_callable=check, op_args=[table], retries=2)
        loaded = BashOperator(task_id=f"load_{table}", bash_command=f"load {table}", pool="lake")
        extracted >> checked >> loaded >> done
