"""`mapping-kit migrate` of DAGs that are no `with DAG(...)`: what it writes is the same."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from airflow_mapping_kit.lint.migrate.program import main as migrate

HEAD = '''\
"""Sends files."""
from datetime import datetime

from airflow import DAG
from airflow.operators.python import PythonOperator
from airflow.operators.trigger_dagrun import TriggerDagRunOperator

ARGUMENTS = {"schedule": None}
'''
FUNCTION = '''\


def say(text="""a
  b"""):
    print(text)


'''
MADE = 'DAG("main", start_date=datetime(2024, 1, 1), **ARGUMENTS)'
TASKS = """\
start = PythonOperator(task_id="start", python_callable=say)
# The files.
send = TriggerDagRunOperator.partial(
    task_id="send", trigger_dag_id="sub", wait_for_completion=True
).expand(conf=[{"file": name} for name in ("a", "b")])
start >> send
"""
OF_THE_DAG = TASKS.replace("python_callable=say", "python_callable=say, dag=dag").replace(
    "    task_id=", "    dag=dag, task_id="
)
SUB = '''\
from airflow import DAG
from airflow.operators.python import PythonOperator


def load(dag_run):
    """Load."""
    print(dag_run.conf["file"])


dag = DAG("sub", schedule=None)
PythonOperator(task_id="load", python_callable=load, dag=dag)
'''


def indented(text):
    return "".join(f"    {line}" if line.strip() else line for line in text.splitlines(keepends=True))


def moved(path, text, name="dag"):
    """Return what is written in place of a DAG and the one that it starts."""
    Path(path).write_text(text)
    Path("sub.py").write_text(SUB)
    migrate([path, "sub.py"])
    found = Path("main_mapped.py").read_text()
    Path("main_mapped.py").unlink()
    return found


@pytest.fixture(autouse=True)
def _here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


FORMS = {
    "tasks that name their DAG": f"{HEAD}{FUNCTION}dag = {MADE}\n{OF_THE_DAG}",
    "a `with` of its own": f"{HEAD}{FUNCTION}dag = {MADE}\n\nwith dag:\n{indented(TASKS)}",
    "a program": f'{HEAD}{FUNCTION}dag = {MADE}\n{OF_THE_DAG}\nif __name__ == "__main__":\n    dag.cli()\n',
    "long": f"{HEAD}{FUNCTION}dag = DAG(\n{MADE.removeprefix('DAG(')[:-1]},\n)\n{OF_THE_DAG}",
}


@pytest.mark.parametrize("text", FORMS.values(), ids=FORMS)
def test_a_dag_of_another_form_becomes_what_it_would_become_with_a_with(text):
    wanted = moved("with.py", f"{HEAD}{FUNCTION}with {MADE} as dag:\n{indented(TASKS)}")
    found = moved("other.py", text)
    assert "item[" in found
    assert ast.dump(ast.parse(found)) == ast.dump(ast.parse(wanted))
    assert "# The files." in found


def test_functions_that_follow_the_dag_stay_as_they_are_to_the_byte_within_texts():
    found = moved("main.py", f"{HEAD}dag = {MADE}\n{FUNCTION}{OF_THE_DAG}")
    assert '    def say(text="""a\n  b"""):\n        print(text)\n' in found
    assert "dag=dag" not in found


@pytest.mark.parametrize(
    "text",
    [
        f"{HEAD}dag = {MADE}\nother = DAG('other')\n{FUNCTION}{OF_THE_DAG}",
        f"{HEAD}dag = {MADE}\n",
        f"{HEAD}dag = {MADE}\nwith dag:\n  PythonOperator(task_id='a')\n{FUNCTION}",
        f"{HEAD}dags = [{MADE}]\n",
    ],
    ids=["two", "none", "two blanks", "a list"],
)
def test_what_cannot_be_read_so_is_refused_as_before(text, capsys):
    Path("main.py").write_text(text)
    Path("sub.py").write_text(SUB)
    assert migrate(["main.py", "sub.py"]) == 2
    assert capsys.readouterr().err.startswith("main.py: it defines no DAG with @dag or `with DAG(...)`")
    assert not Path("main_mapped.py").exists()
