"""How many tasks there are is asked outside: by helpers, for helpers, in comprehensions."""
import psycopg2
import requests
from airflow import DAG
from airflow.operators.bash import BashOperator
from airflow.operators.python import PythonOperator
from airflow.providers.mysql.hooks.mysql import MySqlHook


def load(name, dag):
    return PythonOperator(task_id=f"load_{name}", python_callable=print, op_args=[name], dag=dag)


def items():
    return requests.get("http://config/items").json()["items"]  # MAP107: 12


def rows():
    connection = psycopg2.connect("dbname=shop")
    cursor = connection.cursor()
    cursor.execute("SELECT name FROM shops")
    return cursor.fetchall()  # MAP107: 12


def fixed():
    return ["a", "b"]


def log(name):
    print(name)


with DAG("ways") as dag:
    for item in items():
        load(item, dag)
    shops = [BashOperator(task_id=f"shop_{shop}", bash_command=f"load {shop}") for shop in rows()]
    # What is asked is no list of tasks.
    for name in MySqlHook("shop").get_records("SELECT 1"):
        log(name)
    for name in fixed():
        load(name, dag)


def each(config):
    with DAG(config["id"]) as made:
        BashOperator(task_id="load", bash_command=config["command"])
    return made


for row in MySqlHook("shop").get_records("SELECT id, command FROM dags"):  # MAP107: 12
    globals()[row["id"]] = each(row)
