"""The command itself."""

from __future__ import annotations

import json
import subprocess
import sys


def test_what_asks_the_api_alone_needs_no_airflow():
    program = (
        "import sys, airflow_mapping_kit.cli.program, airflow_mapping_kit.cli.remote_partitions\n"
        "print([name for name in ('airflow', 'sqlalchemy', 'httpx') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert (done.stdout, done.stderr) == ("[]\n", "")


def test_lint_hands_its_arguments_on_and_needs_no_airflow(tmp_path):
    (tmp_path / "dag.py").write_text("import airflow\nif True:\n", encoding="utf-8")
    program = (
        "import sys\n"
        "from airflow_mapping_kit.cli.program import commands\n"
        f"arguments = ['lint', '--select', 'MAP0', '--output=json', {str(tmp_path)!r}]\n"
        "status = commands.main(arguments, standalone_mode=False)\n"
        "print(status, [name for name in ('airflow', 'sqlalchemy', 'httpx') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    found, _, last = done.stdout.rstrip().rpartition("\n")
    assert [(one["rule"], one["line"]) for one in json.loads(found)] == [("MAP000", 2)]
    assert (last, done.stderr) == ("1 []", "")


def test_migrate_hands_its_arguments_on_and_needs_no_airflow(tmp_path):
    (tmp_path / "dag.py").write_text("import airflow\n", encoding="utf-8")
    program = (
        "import sys\n"
        "from airflow_mapping_kit.cli.program import commands\n"
        f"arguments = ['migrate', '--copies', {str(tmp_path / 'dag.py')!r}]\n"
        "status = commands.main(arguments, standalone_mode=False)\n"
        "print(status, [name for name in ('airflow', 'sqlalchemy', 'httpx') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.stdout == "2 []\n"
    assert done.stderr.startswith(f"{tmp_path / 'dag.py'}: it defines no DAG with @dag or `with DAG(...)`")
