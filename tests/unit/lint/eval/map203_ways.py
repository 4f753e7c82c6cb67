"""Items that get lost, and that don't, in loops of many kinds."""
import json
import logging
import os
import time
import traceback

import boto3
import requests
from airflow import DAG
from airflow.operators.python import PythonOperator

log = logging.getLogger(__name__)


def downloads(keys):
    s3 = boto3.client("s3")
    for key in keys:
        try:
            s3.download_file("lake", key, f"/tmp/{key}")
        except Exception as error:  # MAP203: 9
            message = f"{key}: {error}"
            if error.args:
                log.error(message)


def inserts(rows, connection):
    cursor = connection.cursor()
    for row in rows:
        try:
            cursor.execute("INSERT INTO x VALUES (%s)", row)
            connection.commit()
        except Exception:  # MAP203: 9
            connection.rollback()
            traceback.print_exc()


def waits_and_goes_on(pages):
    for page in pages:
        try:
            requests.get(f"http://shop/{page}")
        except Exception as error:  # MAP203: 9
            print(error)
            time.sleep(1)


def send_one(order):
    requests.post("http://shop", json=order)


def by_function(orders):
    for order in orders:
        try:
            send_one(order)
        except Exception as error:  # MAP203: 9
            print(error)


# Some lost items are no less lost because others are there.
def any_at_all(orders):
    sent = 0
    for order in orders:
        try:
            send_one(order)
            sent += 1
        except Exception as error:  # MAP203: 9
            print(error)
    return sent > 0


def double(order):
    return order["n"] * 2


def process_order(order):
    return double(order)


def only_computes(orders):
    found = []
    for order in orders:
        try:
            found.append(process_order(json.loads(order)))
        except Exception as error:
            print(error)
    return found


def clears_away(paths):
    for path in paths:
        try:
            os.remove(path)
        except Exception as error:
            print(error)


def tries_again(url):
    for attempt in range(3):
        try:
            answer = requests.get(url, params={"attempt": attempt})
        except Exception as error:
            print(error)
            time.sleep(2)
    return answer


def tries_again_until(url):
    for attempt in range(3):
        try:
            return requests.get(url, params={"attempt": attempt})
        except Exception as error:
            print(error)


def flagged(orders):
    well = True
    for order in orders:
        try:
            send_one(order)
        except Exception as error:
            print(error)
            well = False
    return well


def named(orders):
    states = {}
    for order in orders:
        state = "sent"
        try:
            send_one(order)
        except Exception as error:
            log.error(error)
            state = "failed"
        states[order["id"]] = state
    return states


def counted(orders):
    sent = 0
    for order in orders:
        try:
            send_one(order)
            sent += 1
        except Exception as error:
            print(error)
    if sent < len(orders):
        return "alert"
    return "done"


def summed(orders):
    lost = 0
    for order in orders:
        try:
            send_one(order)
        except Exception as error:
            print(error)
            lost += 1
    return lost


def answers(orders):
    results = []
    for order in orders:
        try:
            results.append({"order": order, "answer": requests.post("http://shop", json=order).json()})
        except Exception as error:
            results.append({"order": order, "error": str(error)})
    return results


def known_ones(orders):
    for order in orders:
        try:
            send_one(order)
        except (KeyError, ValueError) as error:
            print(error)


def some_raise(orders):
    for order in orders:
        try:
            send_one(order)
        except Exception as error:
            if "exists" not in str(error):
                raise
            print(error)


def puts_in_front(orders):
    found = []
    for order in orders:
        try:
            found.insert(0, order["id"])
        except Exception as error:
            print(error)
    return found


with DAG("lost"):
    for function in (downloads, inserts):
        PythonOperator(task_id=function.__name__, python_callable=function)
    PythonOperator(task_id="a", python_callable=downloads)
    PythonOperator(task_id="b", python_callable=inserts)
    PythonOperator(task_id="c", python_callable=waits_and_goes_on)
    PythonOperator(task_id="d", python_callable=by_function)
    PythonOperator(task_id="e", python_callable=any_at_all)
    PythonOperator(task_id="f", python_callable=only_computes)
    PythonOperator(task_id="g", python_callable=clears_away)
    PythonOperator(task_id="h", python_callable=tries_again)
    PythonOperator(task_id="i", python_callable=tries_again_until)
    PythonOperator(task_id="j", python_callable=flagged)
    PythonOperator(task_id="k", python_callable=named)
    PythonOperator(task_id="l", python_callable=counted)
    PythonOperator(task_id="m", python_callable=summed)
    PythonOperator(task_id="n", python_callable=answers)
    PythonOperator(task_id="o", python_callable=known_ones)
    PythonOperator(task_id="p", python_callable=some_raise)
    PythonOperator(task_id="q", python_callable=puts_in_front)
