"""MAP401: which files are copies, what they differ in, and which are none."""

from __future__ import annotations

import pytest

from airflow_mapping_kit.lint.config import Settings
from airflow_mapping_kit.lint.files import python_files
from airflow_mapping_kit.lint.lint import look

DAG = '''"""Load {country}."""
import pendulum
from airflow import DAG
from airflow.operators.bash import BashOperator
from airflow.operators.python import PythonOperator
from airflow.providers.postgres.hooks.postgres import PostgresHook

COUNTRY = "{country}"
TABLES = ["orders", "customers"]


def extract(table, **context):
    hook = PostgresHook("shop_" + COUNTRY)
    rows = hook.get_records(f"SELECT * FROM {{table}} WHERE day = %s", parameters=[context["ds"]])
    with open(f"/data/{{COUNTRY}}/{{table}}.csv", "w") as file:
        for row in rows:
            file.write(",".join(str(value) for value in row))
    return len(rows)


def check(table, ti, **context):
    count = ti.xcom_pull(task_ids=f"extract_{{table}}")
    if count == 0:
        raise ValueError(f"no rows of {{table}}")
    if count > 1000000:
        print("many rows", table, count)
    return count


with DAG(
    dag_id="load_{country}",
    schedule="{schedule}",
    start_date=pendulum.datetime(2024, 1, 1),
    catchup=False,
    max_active_runs=1,
) as dag:
    done = BashOperator(task_id="done", bash_command="echo {country}")
    for table in TABLES:
        extracted = PythonOperator(task_id=f"extract_{{table}}", python_callable=extract, op_args=[table])
        checked = PythonOperator(task_id=f"check_{{table}}", python_callable=check, op_args=[table], retries=2)
        loaded = BashOperator(task_id=f"load_{{table}}", bash_command=f"load {{table}}", pool="lake", retries=3)
        extracted >> checked >> loaded >> done
'''
SHORT = """from airflow import DAG
from airflow.operators.bash import BashOperator

with DAG("{country}", schedule="@daily"):
    BashOperator(task_id="load", bash_command="load {country}")
"""


@pytest.fixture
def families(tmp_path):
    """Return what is found of the files that are written, with their paths as they are from their folder."""

    def finds(files, **settings):
        for name, text in files.items():
            path = tmp_path / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        result = look(python_files([tmp_path]), Settings(select=("MAP401",), **settings))
        return [
            (
                one.place.path.removeprefix(f"{tmp_path}/"),
                one.message,
                [other.message.replace(f"{tmp_path}/", "") for other in one.related],
            )
            for one in result.findings
        ]

    return finds


def dag(country, schedule="@daily"):
    return DAG.format(country=country, schedule=schedule)


def test_copies_are_one_family_with_a_table_of_what_they_differ_in(families):
    found = families(
        {
            f"{name}.py": dag(name, when)
            for name, when in (("us", "@daily"), ("fr", "@hourly"), ("de", "@daily"))
        }
    )
    assert found == [
        (
            "de.py",
            "3 files, 42 lines each, are copies of one another, and differ in "
            "COUNTRY, dag_id, schedule and bash_command",
            [
                'fr.py: COUNTRY="fr", dag_id="load_fr", schedule="@hourly", bash_command="echo fr"',
                'us.py: COUNTRY="us", dag_id="load_us", schedule="@daily", bash_command="echo us"',
            ],
        )
    ]


def test_names_order_of_imports_comments_and_lists_make_no_difference(families):
    other = (
        dag("fr")
        .replace("rows", "lines")
        .replace("import pendulum\n", "")
        .replace("import DAG\n", "import DAG\nimport pendulum\n")
    )
    other = other.replace(
        'TABLES = ["orders", "customers"]', 'TABLES = ["orders"]  # the others are not there'
    ).replace("Load", "Get")
    assert [path for path, _, _ in families({"us.py": dag("us"), "fr.py": other})] == ["fr.py"]


def test_short_files_share_their_frame_and_are_no_copies(families):
    assert families({f"{name}.py": SHORT.format(country=name) for name in ("us", "fr", "de")}) == []


def test_files_that_do_other_things_are_no_copies(families):
    other = (
        dag("fr").replace("hook.get_records", "hook.get_pandas_df").replace("raise ValueError(f", "print(f")
    )
    other = other.replace("    return count\n", "    ti.xcom_push(key='n', value=count)\n    notify(count)\n")
    other = other.replace('pool="lake", retries=3', 'env={"A": "b"}')
    assert families({"us.py": dag("us"), "fr.py": other}) == []


def test_what_differs_in_much_is_a_family_without_a_table(families):
    other = (
        dag("fr")
        .replace('f"no rows of {table}"', 'f"none of {table}"')
        .replace("1000000", "5")
        .replace('"/data', '"/in')
    )
    other = (
        other.replace('"lake"', '"pond"')
        .replace("retries=2", "retries=7")
        .replace("retries=3", "retries=8")
        .replace("2024", "2025")
    )
    ((_, message, related),) = families({"us.py": dag("us"), "fr.py": other})
    assert message == "2 files, 42 lines each, are copies of one another"
    assert related == ["a copy: us.py"]


def test_two_families_are_two_findings(families):
    others = {
        f"x{n}.py": dag(f"x{n}")
        .replace("hook.get_records", "hook.run")
        .replace("count > 1000000", "not context")
        for n in (1, 2)
    }
    others = {
        name: text.replace("raise ValueError(", "notify(").replace(
            "return len(rows)", "return hook.last(rows, 1)"
        )
        for name, text in others.items()
    }
    others = {
        name: text.replace('"many rows", table, count', "context").replace("retries=2", "queue=table")
        for name, text in others.items()
    }
    found = families({"us.py": dag("us"), "fr.py": dag("fr"), **others})
    assert [(path, len(related)) for path, _, related in found] == [("fr.py", 1), ("x1.py", 1)]


def test_environments_are_copies_by_intention(families):
    files = {"dev/us.py": dag("us"), "prod/us.py": dag("us")}
    assert len(families(files)) == 1
    assert families(files, environments=("dev", "prod")) == []


def test_a_copy_within_an_environment_is_found_all_the_same(families):
    files = {"dev/us.py": dag("us"), "dev/fr.py": dag("fr"), "prod/us.py": dag("us")}
    (found,) = families(files, environments=("dev", "prod"))
    assert found[0] == "dev/fr.py"


def test_a_link_to_a_file_is_no_copy_of_it(families, tmp_path):
    (tmp_path / "us.py").write_text(dag("us"))
    (tmp_path / "america.py").symlink_to(tmp_path / "us.py")
    assert families({}) == []


def test_files_that_are_ignored_say_so_or_define_no_dag_are_not_compared(families):
    assert families({"us.py": dag("us"), "old/fr.py": dag("fr")}, per_file_ignores={"old": ("MAP401",)}) == []
    assert families({"us.py": dag("us"), "old/fr.py": "# mapping-kit: off\n" + dag("fr")}) == []
    plain = (
        "\n".join(line for line in dag("fr").splitlines() if "DAG" not in line)
        .replace("    dag_id", "dict(dag_id")
        .replace(") as dag:", ")")
    )
    assert families({"us.py": dag("us"), "old/fr.py": plain}) == []


def in_one_file(*countries):
    """Return a file with the DAG of each country, beside one another."""
    texts = [dag(country) for country in countries]
    tasks = "".join(
        f'    t{number} = PythonOperator(task_id="t{number}", python_callable=extract, op_args=["t{number}"])\n'
        for number in range(12)
    )
    before, _, _ = texts[0].partition("with DAG(")
    return before + "\n".join("with DAG(" + text.partition("with DAG(")[2] + tasks for text in texts)


def test_dags_of_one_file_are_compared_with_one_another(families):
    ((path, message, related),) = families({"all.py": in_one_file("us", "fr", "de")})
    assert (path, message.partition(",")[0]) == ("all.py", "3 DAGs of this file")
    assert message.endswith("differ in dag_id and bash_command")
    assert [one.partition(": ")[2] for one in related] == [
        'dag_id="load_fr", bash_command="echo fr"',
        'dag_id="load_de", bash_command="echo de"',
    ]


def test_one_dag_a_file_is_no_copy_of_itself(families):
    assert families({"all.py": in_one_file("us")}) == []
