from airflow.decorators import task


@task(map_index_template="{{ country }}")
def load(item):
    return item


@task(map_index_template='{{ "%s %s" % (day, hour) }}')
def hourly(item):
    return item


@task(map_index_template="{{ item }}")
def fine(item):
    return item


load.expand(item=[1, 2])
hourly.expand(item=[1, 2])
fine.expand(item=[1, 2])
