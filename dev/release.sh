#!/bin/sh
# Install the wheel that is to be released on each Python that is here, beside each Airflow, and run a DAG with it.
# Usage: sh dev/release.sh UV WHEEL
set -eu
uv=$1 wheel=$(cd "$(dirname "$2")" && pwd)/$(basename "$2")
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
trap 'exit 1' HUP INT TERM
export AIRFLOW_HOME="$work/home" AIRFLOW__CORE__LOAD_EXAMPLES=False AIRFLOW__CORE__DAGS_FOLDER="$work/dags" \
    AIRFLOW__DATABASE__SQL_ALCHEMY_CONN="sqlite:///$work/home/airflow.db" UV_PYTHON_DOWNLOADS=never

mkdir "$work/dags"
cat >"$work/dags/released.py" <<'DAG'
from __future__ import annotations

import pendulum
from airflow.decorators import dag, task

from airflow_mapping_kit.fan_in import collect, rows
from airflow_mapping_kit.generators import date_range
from airflow_mapping_kit.labels import label


@dag(schedule=None, start_date=pendulum.datetime(2024, 1, 1))
def released():
    @task(map_index_template=label("{date}"))
    def load(date):
        return {"loaded": date}

    @task
    def said(report):
        keys = [row["key"] for row in rows(report)]
        assert keys == ["date=2024-02-28", "date=2024-02-29", "date=2024-03-01"], keys
        print("all of three partitions are accounted for")

    said(collect(load.expand(date=date_range("2024-02-28", "2024-03-01"))))


released()
DAG

tried=0
for constraints in constraints/airflow-*.txt; do
    airflow=$(sed -n 's/^apache-airflow==//p' "$constraints")
    for minor in 10 11 12 13; do
        # Airflow 2 has never been made to run on a newer Python than 3.12.
        case $airflow-$minor in 2.*-13) continue ;; esac
        "$uv" python find "3.$minor" >"$work/python" 2>/dev/null || { echo "Python 3.$minor isn't here: not tried with Airflow $airflow"; continue; }
        rm -rf "$work/venv" "$AIRFLOW_HOME"
        "$uv" venv --quiet --python "$(cat "$work/python")" "$work/venv"
        "$uv" pip install --quiet --python "$work/venv/bin/python" -c "$constraints" "$wheel"
        {
            "$work/venv/bin/airflow" db migrate
            case $airflow in 3.*) "$work/venv/bin/airflow" dags reserialize ;; esac
            "$work/venv/bin/airflow" dags test released 2024-03-01
        } >"$work/log" 2>&1 || { tail -n 40 "$work/log" >&2; exit 1; }
        grep -q 'all of three partitions are accounted for' "$work/log" || { tail -n 40 "$work/log" >&2; exit 1; }
        "$work/venv/bin/airflow" providers list 2>/dev/null | grep -q airflow-mapping-kit
        "$work/venv/bin/mapping-kit" --version
        echo "Airflow $airflow on $("$work/venv/bin/python" --version): installed, and a DAG ran"
        tried=$((tried + 1))
    done
done
[ "$tried" -gt 0 ] || { echo "No Python from 3.10 to 3.13 is here." >&2; exit 1; }
