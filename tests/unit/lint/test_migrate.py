"""`mapping-kit migrate`: one DAG in place of several; what it writes, what it leaves to decide, what it refuses."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from airflow_mapping_kit.lint.config import Settings
from airflow_mapping_kit.lint.lint import look
from airflow_mapping_kit.lint.migrate.program import main as migrate

DAGS = Path(__file__).resolve().parents[3] / "dags"
MAIN = """\
from datetime import datetime

from airflow import DAG
from airflow.operators.bash import BashOperator
from airflow.operators.trigger_dagrun import TriggerDagRunOperator

FILES = ["a", "b"]  # what there is

with DAG("main", start_date=datetime(2024, 1, 1), schedule=None, params={"x": 1}) as dag:
    start = BashOperator(task_id="start", bash_command="date")
    send = TriggerDagRunOperator.partial(task_id="send", trigger_dag_id="sub"WAIT).expand(
        conf=[{"file": name} for name in FILES]  # all of them
    )
    start >> send
"""
WAITING = MAIN.replace("WAIT", ", wait_for_completion=True")
SENT = MAIN.replace("WAIT", "")
SUB = """\
from datetime import datetime

from airflow.decorators import dag, task


@dag(start_date=datetime(2024, 1, 1), schedule=None)
def sub():
    @task
    def load(dag_run=None, **context):
        conf = context["dag_run"].conf or {}
        print(dag_run.conf["file"], conf, context["params"]["file"])

    load()


sub()
"""
GROUP = '''\
import os
from datetime import datetime

from airflow import DAG
from airflow.operators.bash import BashOperator
from airflow.operators.python import PythonOperator

FOLDER = "/tmp"
PULLED = "{{ ti.xcom_pull('checked') }}"


def path_of(name):
    return os.path.join(FOLDER, name)


# It loads.
def load(**context):
    """Load."""
    text = """a
  b"""
    print(path_of(context["dag_run"].conf.get("file")), context["ds"], text)


def check(dag_run, params, flag=False):
    print(dag_run.conf["file"], params["limit"], flag)


with DAG(
    "sub", start_date=datetime(2024, 1, 1), schedule="@daily", params={"limit": 10, "x": 2}, max_active_runs=5
) as dag:
    first = PythonOperator(task_id="load", python_callable=load, retries=2)
    second = PythonOperator(task_id="checked", python_callable=check, op_kwargs={"flag": True})
    pulled = "echo {{ ti.xcom_pull('load') }}"
    first >> second >> BashOperator(task_id="tell", bash_command="echo {{ dag_run.conf['file'] }}")
    BashOperator(task_id="pulls", bash_command=pulled, env={"ALL": PULLED})
'''
PULLS = (
    "this template has an xcom_pull, which returns None or the results of all items: name the task with its group "
    '("group.task"), and pass map_indexes=ti.map_index.'
)
COPY = """\
\"\"\"Loads NAME.\"\"\"

from datetime import datetime

from airflow.decorators import dag, task
from airflow.operators.bash import BashOperator

TABLE = "NAME"
FOLDER = "/data"


@dag(start_date=datetime(2024, 1, 1), schedule="@daily", description="loads NAME")
def load_NAME():
    @task
    def rows():
        # what there is
        return [TABLE, FOLDER, "NAME_id"]

    @task
    def write(found, folder):
        print(found, folder)

    write(rows(), "s3://NAME/x") >> BashOperator(task_id="tell", bash_command="echo NAME")


load_NAME()
"""


@pytest.fixture
def files(tmp_path, monkeypatch):
    """Return a function that writes files, by name, into the current folder."""
    monkeypatch.chdir(tmp_path)

    def write(**texts):
        for name, text in texts.items():
            (tmp_path / f"{name}.py").write_text(text, encoding="utf-8")

    return write


def written(path, capsys):
    """Return a file that was written, and its lines that the command listed."""
    text, said = Path(path).read_text(encoding="utf-8"), capsys.readouterr()
    assert said.err == ""
    first, *listed = said.out.splitlines()
    assert first.startswith(f"{path}: written. ")
    ast.parse(text)
    assert look([Path(path)], Settings()).findings == []
    lines = text.splitlines()
    todos = {}
    for line in listed:
        _, number, what = line.split(":", 2)
        assert lines[int(number) - 1].strip() == f"# TODO:{what}"
        todos[int(number)] = what.strip()
    assert sorted(todos) == [number for number, line in enumerate(lines, 1) if "# TODO" in line]
    return text, list(todos.values())


def test_the_order_that_three_dags_ship_becomes_one_dag_with_nothing_left_to_decide(files, capsys):
    files(three=(DAGS / "order_shipping_three_dags.py").read_text(encoding="utf-8"))
    assert migrate(["three.py:order_main", "three.py:order_sub", "three.py:order_poll"]) == 0
    text, todos = written("order_main_mapped.py", capsys)
    assert todos == []
    for code in (
        # Of a block of imports both branches stay, without what nothing needs any more.
        "try:\n    from airflow.sdk import Param, dag, task\nexcept ImportError:  # Airflow 2\n",
        '    @task(map_index_template=label("{trigger_run_id}"), max_active_tis_per_dagrun=3)\n',
        '        folder = Path(run["conf"]["target"])\n',
        "    send = ship.expand(run=plan)\n    poll = collect(send, tolerated_failure_percentage=100)\n",
        '            found[states[run["trigger_run_id"]]].append(run["conf"]["piece"]["item"])\n',
        "    summarise(runs=plan, report=poll)\n\n\norder_main_mapped()\n",
    ):
        assert code in text
    for gone in ("TriggerDagRunOperator", "state_of", "dag_run", "all_done", "noqa", "START sub"):
        assert gone not in text


def test_one_task_becomes_a_mapped_task_that_reads_its_item(files, capsys):
    files(main=WAITING, sub=SUB)
    assert migrate(["main.py", "sub.py"]) == 0
    text, _ = written("main_mapped.py", capsys)
    assert (
        '    start = BashOperator(task_id="start", bash_command="date")\n'
        "\n"
        "    @task(map_index_template=label())\n"
        "    def load(item: dict, **context):\n"
        "        conf = item or {}\n"
        '        print(item["file"], conf, item["file"])\n'
        "\n"
        "    # all of them\n"
        '    send = load.expand(item=[{"file": name} for name in FILES])\n'
        "    start >> send\n"
    ) in text
    assert 'FILES = ["a", "b"]  # what there is\n' in text


def test_several_tasks_become_a_mapped_group_and_what_they_had_of_their_run_is_left_to_decide(files, capsys):
    files(main=SENT, sub=GROUP)
    assert migrate(["main.py", "sub.py"]) == 1
    text, todos = written("main_mapped.py", capsys)
    assert todos == [
        "param 'x' of sub was 2, and both DAGs have it: choose one value.",
        'sub also ran by schedule="@daily". This DAG doesn\'t: is that right?',
        "`ds` is the same for all items now. In sub each run had its own: is that a problem here?",
        PULLS,
        "this template reads a run's conf, which no longer has the item: pass the field of the item instead.",
        PULLS,
        "no task that can be read waited for the runs of sub. How many items may fail?",
    ]
    for code in (
        '    @task_group(group_id="sub", default_args={"max_active_tis_per_dagrun": 5})\n    def sub(item):\n',
        # Comments, docstrings and texts of several lines are what they were.
        '        # It loads.\n        @task\n        def load(item: dict, **context):\n            """Load."""\n',
        '            text = """a\n  b"""\n',
        "            params = {**params, **item}\n",
        "        first = load.override(retries=2)(item=item)\n",
        '        second = check.override(task_id="checked")(item=item, flag=True)\n',
        'params={"x": 1, "limit": 10}',
        """FOLDER = "/tmp"\nPULLED = "{{ ti.xcom_pull('checked') }}"\n\n\ndef path_of(name):\n""",
        "    report = collect(send, tolerated_failure_percentage=100)\n    start >> report\n",
    ):
        assert code in text


def test_a_loop_that_makes_a_trigger_an_item_and_a_sensor_become_a_mapped_task_and_a_fan_in(files, capsys):
    loop = """\
from datetime import datetime

from airflow import DAG
from airflow.operators.trigger_dagrun import TriggerDagRunOperator
from airflow.sensors.external_task import ExternalTaskSensor

with DAG("loop", start_date=datetime(2024, 1, 1)):
    for name in ["a", "b"]:
        TriggerDagRunOperator(task_id=f"send_{name}", trigger_dag_id="sub", conf={"file": name})
    wait = ExternalTaskSensor(task_id="wait", external_dag_id="sub")
"""
    files(loop=loop, sub=SUB)
    assert migrate(["loop.py", "sub.py"]) == 0
    text, _ = written("loop_mapped.py", capsys)
    # The sensor waits until all have succeeded: no failure is tolerated.
    assert (
        '    done = load.expand(item=[{"file": name} for name in ["a", "b"]])\n    report = collect(done)\n'
        in text
    )
    assert "Sensor" not in text


ITSELF = '''\
from datetime import datetime
from airflow.decorators import dag, task
from airflow.models.dagrun import DagRun
from airflow.operators.trigger_dagrun import TriggerDagRunOperator

LIMIT = 3


@dag(start_date=datetime(2024, 1, 1), schedule=None)
def parent():
    @task
    def plan(run_id=None):
        return [{"trigger_run_id": f"{run_id}_{n}", "conf": {"n": n}} for n in range(3)]

    @task
    def ids(runs):
        return [run["trigger_run_id"] for run in runs]

    @task.sensor(poke_interval=1)
    def wait(ids):
        found = [DagRun.find(dag_id="child", run_id=one)[0].state for one in ids]
        if "failed" in found:
            raise ValueError("one failed")
        return all(one == "success" for one in found)

    @task
    def summary(ids, title="x"):
        """Sum up."""
        return {one: DagRun.find(dag_id="child", run_id=one)[0].get_state() for one in ids}

    runs = plan()
    started = TriggerDagRunOperator.partial(task_id="started", trigger_dag_id="child").expand_kwargs(runs)
    waited = wait(ids(runs))
    started >> waited >> summary(ids(runs), title="all")


@dag(start_date=datetime(2024, 1, 1), schedule=None)
def child():
    @task
    def work(number, limit, text):
        """Work."""
        print(number, limit)

    work("{{ dag_run.conf['n'] }}", LIMIT, text="no. {{ dag_run.conf.n }}")


parent()
child()
'''


def test_a_dag_that_polls_by_itself_reads_the_report_where_it_asked_for_states(files, capsys):
    files(both=ITSELF)
    assert migrate(["both.py:parent", "both.py:child"]) == 1
    text, todos = written("parent_mapped.py", capsys)
    assert todos == ["text is a template that reads a run's conf: use the item here instead."]
    for code in (
        '    def summary(report: dict, runs, ids, title="x"):\n        """Sum up."""\n        states = {\n',
        "        return {one: states[one] for one in ids}\n",
        '    def work(run: dict, limit, text):\n        """Work."""\n        number = str(run["conf"]["n"])\n',
        '    started = work.partial(limit=LIMIT, text="no. {{ dag_run.conf.n }}").expand(run=runs)\n',
        # The sensor failed where a run had failed.
        '    report = collect(started)\n    report >> summary(report, runs, ids(runs), title="all")\n',
        "LIMIT = 3\n",
    ):
        assert code in text
    assert "DagRun" not in text


def test_names_that_the_kit_and_an_item_have_give_way_to_those_of_the_dags(files, capsys):
    files(
        main=SENT.replace("start", "collect").replace("collect_date", "start_date"),
        sub=SUB.replace("conf = ", "item = ").replace(", conf, ", ", item, "),
    )
    assert migrate(["main.py", "sub.py"]) == 1
    text, _ = written("main_mapped.py", capsys)
    assert "import collect as mapping_kit_collect\n" in text
    assert "report = mapping_kit_collect(send, " in text
    assert "        item = item_to_do or {}\n" in text


@pytest.mark.parametrize(
    ("texts", "arguments", "sentence"),
    [
        ({"main": SENT}, ["main.py"], "Name the main DAG, then the DAG that it starts for each item, then"),
        ({"main": SENT}, ["main.py", "sub.py"], "sub.py: it can't be read: No such file or directory."),
        ({"main": SENT, "sub": "if:\n"}, ["main.py", "sub.py"], "sub.py:1: it can't be read: invalid syntax."),
        ({"main": SENT, "sub": SUB}, ["main.py:mein", "sub.py"],
         "main.py: it doesn't define the DAG 'mein'. It defines main."),
        ({"main": SENT, "sub": SUB + SENT}, ["main.py", "sub.py"], "sub.py: it defines sub, main. Name one of them: "),
        ({"sub": SUB}, ["sub.py", "sub.py"], "sub.py: sub has no TriggerDagRunOperator for sub. A run that a task"),
        ({"main": SENT.replace(".partial(", "(conf={}, ").replace("expand(", "as_setup(") , "sub": SUB},
         ["main.py", "sub.py"], "main.py: main starts sub once, in line 11, and not once per item: there is nothing"),
        ({"main": SENT.replace("conf=[", "trigger_run_id=["), "sub": SUB},
         ["main.py", "sub.py"], "main.py:11: the trigger is mapped over trigger_run_id. Map it over the conf"),
        ({"main": SENT, "sub": 'FILES = []\n' + SUB.replace("(dag_run.conf", "(FILES, dag_run.conf")},
         ["main.py", "sub.py"], "'FILES' means different things in main.py and in sub.py: rename one of them."),
        ({"main": SENT, "sub": SUB.replace("    ", "\t")}, ["main.py", "sub.py"], "sub.py:8: it is indented with tabs"),
        ({"main": SENT, "sub": SUB.replace("load()", "load.expand(x=[1])")}, ["main.py", "sub.py"],
         "sub.py:13: sub has a mapped task, and a mapped group can't contain one. Keep this DAG, and start it with"),
        ({"main": SENT + "\nstart >> send\n", "sub": SUB}, ["main.py", "sub.py"],
         "main.py:16: this line uses tasks of main outside of its `with`: move it inside."),
        ({"main": SENT, "sub": SUB, "main_mapped": "mine"}, ["main.py", "sub.py"],
         "main_mapped.py: this file exists, and is not overwritten. Move it away first."),
        ({"main": SENT, "sub": SUB}, ["--copies", "main.py", "sub.py"], "sub.py does something else than main.py"),
        ({"main": SENT}, ["--copies", "main.py"], "Name at least two files"),
        ({"one": SENT, "two": SENT.replace('"main"', '"other"')}, ["--copies", "one.py", "two.py"],
         "one.py and its copies differ only in dag_id: there is nothing to map over."),
        ({"one": SENT, "two": SENT.replace('["a", "b"]', '["c"]')}, ["--copies", "one.py", "two.py"],
         "one.py:12: the files differ in files, but it is read when Airflow parses the file"),
    ],
)  # fmt: skip
def test_what_cannot_be_written_is_refused_in_a_sentence_and_nothing_is_written(
    files, capsys, tmp_path, texts, arguments, sentence
):
    files(**texts)
    assert migrate(arguments) == 2
    said = capsys.readouterr()
    assert (said.out, said.err.count("\n")) == ("", 1)
    assert said.err.startswith(sentence)
    assert {path.stem: path.read_text(encoding="utf-8") for path in tmp_path.iterdir()} == texts


def test_of_copies_an_xcom_pull_that_would_find_nothing_in_the_group_is_a_todo(files, capsys):
    one = """from airflow import DAG
from airflow.operators.bash import BashOperator

with DAG("load_a", schedule=None) as dag:
    first = BashOperator(task_id="first", bash_command="echo a")
    first >> BashOperator(task_id="then", bash_command="echo {{ ti.xcom_pull('first') }}")
"""
    files(load_a=one, load_b=one.replace("load_a", "load_b").replace("echo a", "echo b"))
    assert migrate(["--copies", "load_a.py", "load_b.py"]) == 1
    (todo,) = written("load_mapped.py", capsys)[1]
    assert "correct those that xcom_pull names, or it returns None" in todo


def test_of_copies_a_command_becomes_a_task_that_renders_it_and_other_templates_of_the_table_a_todo(
    files, capsys
):
    one = """from airflow import DAG
from airflow.decorators import task
from airflow.operators.bash import BashOperator
from airflow.operators.python import PythonOperator
from airflow.providers.common.sql.operators.sql import SQLExecuteQueryOperator
from company import ShellOperator

COMMAND = "echo A {{ ds }}"


@task
def write(where):
    print(where)


with DAG("load_A", schedule=None) as dag:
    first = BashOperator(
        task_id="first",  # the first
        bash_command=COMMAND,
        env={"NAME": "A"},
    )
    second = PythonOperator(task_id="second", python_callable=print, op_kwargs={"day": "A/{{ ds }}"})
    third = SQLExecuteQueryOperator(task_id="third", sql="A.sql")
    fourth = ShellOperator(task_id="fourth", bash_command="A")
    plain = SQLExecuteQueryOperator(task_id="plain", sql="SELECT 'A'")
    first >> write("{% if A %}") >> [second, third, fourth, plain]
"""
    files(load_a=one.replace("A", "x").replace("DxG", "DAG").replace("COMMxND", "COMMAND"))
    files(load_b=one.replace("A", "y").replace("DyG", "DAG").replace("COMMyND", "COMMAND"))
    assert migrate(["--copies", "load_a.py", "load_b.py"]) == 1
    text, todos = written("load_mapped.py", capsys)
    assert todos == [
        "op_kwargs has a template, and Airflow renders none in a value of an item: pass the result of a @task that "
        'returns context["task"].render_template(op_kwargs, context).',
        "sql names a file, and Airflow reads none that a value of an item names: put its text into the table.",
        "bash_command can't come from the item if the operator looks at its text: return it from a function with "
        "@task.bash instead.",
        "where_of_it has a template, and Airflow renders none in a value of an item: pass the result of a @task that "
        'returns context["task"].render_template(where_of_it, context).',
    ]
    for code in (
        "        @task.bash\n        def bash(bash_command):\n            return bash_command\n\n",
        '        # the first\n        first = bash.override(task_id="first", env=env)(command)\n',
    ):
        assert code in text


def test_copies_become_one_dag_that_is_mapped_over_the_table_of_what_they_differ_in(files, capsys):
    files(load_customers=COPY.replace("NAME", "customers"))
    files(load_orders=COPY.replace("NAME", "orders").replace("@daily", "@hourly"))
    assert migrate(["--copies", "load_customers.py", "load_orders.py"]) == 1
    text, todos = written("load_mapped.py", capsys)
    assert todos == [
        'schedule is "@daily" in load_customers.py, "@hourly" in load_orders.py. One DAG can have only one: choose it.'
    ]
    table = ast.literal_eval(text[text.index("COPIES = ") + 9 : text.index("]\n\n\n") + 1])
    assert table == [
        {
            "table": name,
            "value": f"{name}_id",
            "folder_of_it": f"s3://{name}/x",
            "bash_command": f"echo {name}",
        }
        for name in ("customers", "orders")
    ]
    for code in (
        "    def each(table, value, folder_of_it, bash_command):\n",
        "        def rows(table, value):\n            # what there is\n            return [table, FOLDER, value]\n",
        "write(rows(table=table, value=value), folder_of_it) >> ",
        'command.override(task_id="tell")(bash_command)',
        "    each.expand_kwargs(COPIES)\n",
        'FOLDER = "/data"\n',
    ):
        assert code in text
    assert "TABLE" not in text


@pytest.mark.parametrize("encoded", ["crlf", "bom", "latin-1"])
def test_files_of_any_form_are_read_and_lines_end_as_they_did(files, capsys, encoded):
    files(sub=SUB)
    text = WAITING.replace("# what there is", "# wie üblich")
    data = {
        "crlf": text.replace("\n", "\r\n").encode(),
        "bom": text.encode("utf-8-sig"),
        "latin-1": f"# -*- coding: latin-1 -*-\n{text}".encode("latin-1"),
    }[encoded]
    Path("main.py").write_bytes(data)
    assert migrate(["main.py", "sub.py"]) == 0
    result = Path("main_mapped.py").read_bytes()
    assert "# wie üblich" in result.decode()
    assert result.count(b"\r\n") == (result.count(b"\n") if encoded == "crlf" else 0)
    ast.parse(result)
