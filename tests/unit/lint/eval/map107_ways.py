"""How many tasks there are is asked outside: by helpers, for helpers, in comprehensions."""
import psycopg2
import requests
from airflow import DAG, settings
from airflow.decorators import dag as dag_of, task
from airflow.models import Connection
from airflow.operators.bash import BashOperator
from airflow.operators.python import PythonOperator
from airflow.providers.mysql.hooks.mysql import MySqlHook
from pymongo import MongoClient
from sqlalchemy import create_engine


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


# Airflow's own database is one, too; and the DAG may be made by a decorator.
def of_shop(shop):
    @dag_of(dag_id=f"shop_{shop}")
    def made():
        @task
        def load():
            print(shop)

        load()

    return made()


session = settings.Session()
connections = (
    session.query(Connection.conn_id)  # MAP107: 5
    .filter(Connection.conn_id.ilike("%SHOP%"))
    .all()
)
for one in connections:
    globals()[one[0]] = of_shop(one[0])


def of_the_engine():
    with create_engine("postgresql://shop").connect() as opened:
        found = opened.execute("SELECT name FROM shops")  # MAP107: 17
        return [row[0] for row in found]


for one in of_the_engine():
    globals()[one] = of_shop(one)

documents = MongoClient("mongodb://shop")["shop"]["stores"]
for one in documents.find({}):  # MAP107: 12
    globals()[one["id"]] = of_shop(one["id"])

site = requests.Session()
for one in site.get("http://config/shops").json():  # MAP107: 12
    globals()[one] = of_shop(one)

# A list that is read from a text is none of a database.
for one in "a b".split():
    globals()[one] = of_shop(one)

settings_of_all = settings_of_all["shops"]
for one in settings_of_all.list("a"):
    globals()[one] = of_shop(one)
