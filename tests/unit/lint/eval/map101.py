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
def updated(x):
    get_current_context().update(my_name=x)


# `**context` is a dict of the call's own: what is put there Airflow never sees.
@task(map_index_template="{{ my_name }}")  # MAP101: 26
def set_in_a_copy(x, **context):
    context["my_name"] = x


@task(map_index_template="{{ my_name }}")  # MAP101: 26
def updated_in_a_copy(x, **kwargs):
    kwargs.update(my_name=x)


set_in_a_copy.expand(x=[1])
updated_in_a_copy.expand(x=[1])


@task(map_index_template="{{ my_name }}")
def no_copy_any_more(x, **context):
    context = get_current_context()
    context["my_name"] = x


no_copy_any_more.expand(x=[1])


# Nor what is put into the context of another process.
@task.external_python(python="/opt/python", map_index_template="{{ country }}")  # MAP101: 64
def set_elsewhere(country):
    context = get_current_context()
    context["country"] = country


# What a function takes by any name is there, too, by the name by which it is handed over.
@task(map_index_template="{{ path }} {{ day }}")
def takes_any(**kwargs):
    return kwargs["path"]


takes_any.partial(day=1).expand(path=["a", "b"])


@task(map_index_template="{{ path }}")  # MAP101: 26 "'path'"
def takes_another(**kwargs):
    return kwargs["file"]


takes_another.expand(file=["a", "b"])


@task(map_index_template="{{ path }}")
def takes_what_sets_say(**kwargs):
    return kwargs["path"]


takes_what_sets_say.expand_kwargs([{"path": "a"}])


@task(map_index_template="{{ path }}")
def called_in_another_module(**kwargs):
    return kwargs["path"]


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
