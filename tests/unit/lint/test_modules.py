"""Functions of a project's other modules, which a DAG file has run."""

from __future__ import annotations

from airflow_mapping_kit.lint.config import Settings
from airflow_mapping_kit.lint.files import python_files
from airflow_mapping_kit.lint.lint import look

HELPERS = """
import requests
from airflow.api.common.trigger_dag import trigger_dag


def start(orders):
    for order in orders:
        trigger_dag("ship", conf=order)


def send(orders):
    for order in orders:
        try:
            requests.post("http://shop", json=order)
        except Exception as error:
            print(error)


def unused(orders):
    for order in orders:
        trigger_dag("ship", conf=order)
"""
DAG = """
from airflow import DAG
from airflow.decorators import task
from airflow.operators.python import PythonOperator
from {module} import send, start

with DAG("orders"):
    PythonOperator(task_id="start", python_callable=start)

    @task
    def sends():
        send([1, 2])

    sends()
"""


def found(folder):
    result = look(python_files([folder]), Settings())
    return [(one.rule, one.place.path.removeprefix(f"{folder}/"), one.place.line) for one in result.findings]


def test_a_function_of_another_module_is_looked_at_as_what_it_runs_as(tmp_path):
    (tmp_path / "dags/shop").mkdir(parents=True)
    (tmp_path / "dags/shop/orders.py").write_text(HELPERS)
    assert found(tmp_path) == []
    (tmp_path / "dags/orders.py").write_text(DAG.format(module="shop.orders"))
    assert found(tmp_path) == [("MAP001", "dags/shop/orders.py", 8), ("MAP203", "dags/shop/orders.py", 15)]


def test_modules_are_found_in_plugins_and_by_relative_imports(tmp_path):
    (tmp_path / "plugins").mkdir()
    (tmp_path / "dags").mkdir()
    (tmp_path / "plugins/orders_api.py").write_text(HELPERS)
    (tmp_path / "dags/orders.py").write_text(DAG.format(module="orders_api"))
    assert [rule for rule, path, _ in found(tmp_path) if path == "plugins/orders_api.py"] == [
        "MAP001",
        "MAP203",
    ]
    (tmp_path / "dags/near.py").write_text(HELPERS)
    (tmp_path / "dags/orders.py").write_text(DAG.format(module=".near"))
    assert [(rule, path) for rule, path, _ in found(tmp_path)] == [
        ("MAP001", "dags/near.py"),
        ("MAP203", "dags/near.py"),
    ]


def test_what_a_module_says_is_to_be_left_is_left(tmp_path):
    (tmp_path / "orders_api.py").write_text(HELPERS.replace("conf=order)", "conf=order)  # noqa: MAP001"))
    (tmp_path / "orders.py").write_text(DAG.format(module="orders_api"))
    assert [rule for rule, _, _ in found(tmp_path)] == ["MAP203"]


TABLES = """
from airflow.providers.postgres.hooks.postgres import PostgresHook


def names():
    return PostgresHook("lake").get_records("SELECT name FROM tables")


def fixed():
    return ["a", "b"]
"""
DUMP = """
from airflow import DAG
from airflow.operators.bash import BashOperator
from tables import fixed, names


def dump(table):
    return BashOperator(task_id=f"dump_{table}", bash_command=f"dump {table}")


with DAG("dump"):
    for table in names():
        dump(table)
    for table in fixed():
        dump(table)
"""


def test_a_list_that_another_module_asks_for_while_the_file_is_parsed_is_found(tmp_path):
    (tmp_path / "tables.py").write_text(TABLES)
    (tmp_path / "dump.py").write_text(DUMP)
    assert found(tmp_path) == [("MAP107", "dump.py", 12)]


def test_a_variable_is_a_question_where_the_project_says_so(tmp_path):
    (tmp_path / "dump.py").write_text(
        DUMP.replace("from tables import fixed, names", "from airflow.models import Variable").replace(
            "names()", 'Variable.get("names", deserialize_json=True)'
        )
    )
    assert found(tmp_path) == []
    result = look(python_files([tmp_path]), Settings(parse_time_sources=("Variable.get",)))
    assert [(one.rule, one.place.line) for one in result.findings] == [("MAP107", 12)]


MAKES = """
from airflow.operators.bash import BashOperator


def make(name):
    return BashOperator(task_id=name, bash_command="ls")


def touch(name):
    BashOperator(task_id=name, bash_command="ls")
"""
IN_A_TASK = """
from airflow.decorators import task
from makes import make, touch


@task
def each(name):
    make(name)
    touch(name)


each("a")
"""
WHERE_A_DAG_IS_MADE = """
from airflow import DAG
from makes import touch

with DAG("touches"):
    touch("a")
"""


def test_what_also_runs_where_dags_are_made_makes_tasks(tmp_path):
    (tmp_path / "makes.py").write_text(MAKES)
    (tmp_path / "in_a_task.py").write_text(IN_A_TASK)
    assert found(tmp_path) == [("MAP103", "makes.py", 10)]
    (tmp_path / "a_dag.py").write_text(WHERE_A_DAG_IS_MADE)
    assert found(tmp_path) == []


OPERATORS = """
import sqlite3
from airflow.operators.bash import BashOperator
from airflow.operators.trigger_dagrun import TriggerDagRunOperator


def ship(order):
    trigger = TriggerDagRunOperator(task_id="ship", trigger_dag_id="ship", conf=order)
    return trigger


def load(name):
    return BashOperator(task_id="load", bash_command=name)


def connection(name):
    return sqlite3.connect(name)
"""
EXECUTES = """
from airflow.decorators import dag, task
from shop import connection, load, ship


@dag()
def orders():
    @task
    def start(order, **context):
        one = ship(order)
        one.execute(context)
        load("orders").execute(context)
        connection("orders").execute("SELECT 1")

    start.expand(order=[1, 2])


orders()
"""


def test_an_operator_that_another_module_makes_is_found_where_it_is_run_also_through_its_package(tmp_path):
    (tmp_path / "dags/shop").mkdir(parents=True)
    (tmp_path / "dags/shop/operators.py").write_text(OPERATORS)
    (tmp_path / "dags/orders.py").write_text(EXECUTES)
    (tmp_path / "dags/shop/__init__.py").write_text("from .operators import connection, load, ship as ship\n")
    assert found(tmp_path) == [("MAP002", "dags/orders.py", 11), ("MAP104", "dags/orders.py", 12)]
