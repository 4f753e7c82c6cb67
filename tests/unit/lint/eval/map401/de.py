"""Loads Germany another way."""
from airflow import DAG
from airflow.operators.bash import BashOperator
from airflow.operators.python import PythonOperator
from airflow.providers.postgres.hooks.postgres import PostgresHook

COUNTRY = "de"
TABLES = ["orders"]


def extract(table, **context):
    hook = PostgresHook("shop_" + COUNTRY)
    rows = hook.get_pandas_df(f"SELECT * FROM {table} WHERE day = %s", parameters=[context["ds"]])
    with open(f"/data/{COUNTRY}/{table}.csv", "w") as file:
        for row in rows.itertuples():
            file.write(",".join(str(value) for value in row))
    return len(rows)


def check(table, ti, **context):
    count = ti.xcom_pull(task_ids=f"extract_{table}")
    if count == 0:
        print(table)
        ti.xcom_push(key="empty", value=True)
    return count


with DAG("load_de", schedule="@daily", catchup=False, max_active_runs=1) as dag:
    done = BashOperator(task_id="done", bash_command="echo de")
    for table in TABLES:
        extracted = PythonOperator(task_id=f"extract_{table}", python_callable=extract, op_args=[table])
        checked = PythonOperator(task_id=f"check_{table}", python_callable=check, op_args=[table], retries=2)
        extracted >> checked >> done
