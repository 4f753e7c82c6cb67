"""Labels that name what nothing puts into the context."""
from airflow.decorators import task
from airflow.operators.python import PythonOperator, get_current_context

from plugins.labels import name_it


@task(map_index_template="{{ my_name }}")  # MAP101: 26 "'my_name'"
def nothing_sets_it(x):
    return x


@task(map_index_template="{{ country }}/{{ day }}")
def arguments_are_names(country, day):
    return country


@task.external_python(python="/opt/python", map_index_template="{{ country }}")  # MAP101: 64
def elsewhere(country):
    return country


@task(map_index_template="{{ my_name }}")
def set_in_the_context(x):
    context = get_current_context()
    context["my_name"] = x


def set_it(context, name):
    context["my_name"] = name


@task(map_index_template="{{ my_name }}")
def set_by_a_helper(x):
    set_it(get_current_context(), x)


@task(map_index_template="{{ my_name }}")
def set_by_another_module(x, **context):
    name_it(context, x)


@task(map_index_template="{{ my_name }}")
def updated(x, **context):
    context.update(my_name=x)


@task(map_index_template="{{ ti.map_index }} {{ ds }} {{ params.x | default('my_name') }}")
def in_every_context(x):
    return x


@task(map_index_template="{% set a = 1 %}{{ a }}")
def statements(x):
    return x


@task
def overridden(x):
    return x


overridden.override(map_index_template="{{ nobody }}").expand(x=[1])  # MAP101: 40 "'nobody'"
# Of classic operators the file does not say what they put there.
PythonOperator.partial(task_id="p", python_callable=print, map_index_template="{{ what }}").expand(op_args=[[1]])
