from airflow.decorators import task
from airflow_mapping_kit.labels import label


@task(map_index_template=label())
def load(item):
    return item


@task(map_index_template=label())
def hourly(item):
    return item


@task(map_index_template="{{ item }}")
def fine(item):
    return item


load.expand(item=[1, 2])
hourly.expand(item=[1, 2])
fine.expand(item=[1, 2])
