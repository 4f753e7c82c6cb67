"""Items that get lost in a loop."""
import logging

import requests
from airflow.decorators import task
from airflow.operators.python import PythonOperator

log = logging.getLogger(__name__)


@task
def sends(orders):
    for order in orders:
        try:
            requests.post("http://shop", json=order)
        except Exception as error:  # MAP203: 9 "the item is lost"
            log.error("order %s: %s", order, error)


def updates(rows, hook):
    done = 0
    for row in rows:
        try:
            hook.run("UPDATE x SET y = %s", parameters=(row["y"],))
            done += 1
        except:  # MAP203: 9
            print(f"{row} could not be updated")
            continue
    return done


@task
def reads(encodings, path):
    for encoding in encodings:
        try:
            open(path, encoding=encoding).read()
            break
        except Exception:
            continue


@task
def narrow(tables, hook):
    for table in tables:
        try:
            hook.create_table(table)
        except ValueError:
            log.info("%s exists already", table)


@task
def collected(orders):
    failed = []
    for order in orders:
        try:
            requests.post("http://shop", json=order)
        except Exception as error:
            failed.append(order)
    if failed:
        raise ValueError(failed)


@task
def returned(orders):
    failed = []
    for order in orders:
        try:
            requests.post("http://shop", json=order)
        except Exception:
            log.exception("failed")
            failed.append(order)
    return failed


@task
def raised_again(orders):
    for order in orders:
        try:
            requests.post("http://shop", json=order)
        except Exception:
            log.exception("failed")
            raise


@task
def no_output(texts):
    found = []
    for text in texts:
        try:
            found.append(int(text))
        except Exception:
            log.warning("no number: %s", text)
    return found


def not_a_task(orders):
    for order in orders:
        try:
            requests.post("http://shop", json=order)
        except Exception as error:
            log.error("order %s: %s", order, error)


PythonOperator(task_id="u", python_callable=updates)
