"""Failures that are counted or kept: for somebody, or for the log alone."""
import logging
from concurrent.futures import ThreadPoolExecutor, as_completed

import requests
from airflow.decorators import task

log = logging.getLogger(__name__)


@task
def counted_for_the_log(orders):
    lost = 0
    for order in orders:
        try:
            requests.post("http://shop", json=order)
        except Exception as error:  # MAP203: 9
            log.error("order %s: %s", order, error)
            lost += 1
    log.info("done, %s lost", lost)


@task
def kept_for_the_log(orders):
    lost = []
    for order in orders:
        try:
            requests.post("http://shop", json=order)
        except Exception:  # MAP203: 9
            lost.append(order)
    if lost:
        log.warning(f"{len(lost)} are lost: {', '.join(lost)}")


@task
def counted_in_a_dict(orders):
    numbers = {"sent": 0, "lost": 0}
    for order in orders:
        try:
            requests.post("http://shop", json=order)
            numbers["sent"] += 1
        except Exception as error:  # MAP203: 9
            numbers["lost"] += 1
    print(numbers)


@task
def counted_in_a_dict_that_is_returned(orders):
    numbers = {"sent": 0, "lost": 0}
    for order in orders:
        try:
            requests.post("http://shop", json=order)
        except Exception as error:
            numbers["lost"] += 1
    return numbers


@task
def kept_for_somebody(orders, mail):
    lost = []
    for order in orders:
        try:
            requests.post("http://shop", json=order)
        except Exception as error:
            log.error("order %s: %s", order, error)
            lost.append(order)
    if lost:
        mail(lost)


@task
def some_are_enough(orders):
    answers = []
    for order in orders:
        try:
            answers.append(requests.post("http://shop", json=order).json())
        except Exception as error:  # MAP203: 9
            log.error("order %s: %s", order, error)
    if not answers or len(answers) == 0:
        raise ValueError("no answer at all")
    return answers


@task
def raised_for_something_else(orders, path):
    try:
        for order in orders:
            try:
                requests.post("http://shop", json=order)
            except Exception as error:  # MAP203: 13
                log.error("order %s: %s", order, error)
        path.write_text("done")
    except Exception:
        log.exception("not written")
        raise


@task
def fewer_than_there_were(orders):
    answers = []
    for order in orders:
        try:
            answers.append(requests.post("http://shop", json=order).json())
        except Exception as error:
            log.error("order %s: %s", order, error)
    if len(answers) != len(orders):
        raise ValueError("some are lost")


@task
def in_threads(orders, send):
    with ThreadPoolExecutor(8) as pool:
        futures = {pool.submit(send, order): order for order in orders}
        for future in as_completed(futures):
            try:
                future.result()
            except Exception as error:  # MAP203: 13
                log.error("order %s: %s", futures[future], error)
