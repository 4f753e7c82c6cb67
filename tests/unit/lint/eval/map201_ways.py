"""Results of mapped tasks that are pulled, combined, of groups, or behind a branch."""
from airflow.decorators import task, task_group
from airflow.operators.bash import BashOperator
from airflow.operators.python import BranchPythonOperator, PythonOperator
from airflow.utils.task_group import TaskGroup


@task
def load(country):
    return country


@task_group
def load_and_check(country):
    return load(country)


@task(trigger_rule="all_done")
def summarise(results):
    return list(results)


@task(trigger_rule="all_done")
def pulls_of_a_list(**context):
    return context["ti"].xcom_pull(task_ids=["load"])


@task(trigger_rule="all_done")
def pulls_of_a_group(ti=None):
    return ti.xcom_pull(task_ids="countries.load")


@task(trigger_rule="all_done")
def pulls_one(ti=None):
    return ti.xcom_pull(task_ids="load", map_indexes=0)


@task.branch
def only_some():
    return "load"


countries = ["us", "fr"]
with TaskGroup("countries"):
    loaded = load.expand(country=countries)
loaded >> pulls_of_a_list()  # MAP201: 11
loaded >> pulls_of_a_group()  # MAP201: 11
loaded >> pulls_one()
summarise(load_and_check.expand(country=countries))  # MAP201: 1 "the results of load_and_check"
summarise(loaded.zip(countries))  # MAP201: 1
summarise(results=loaded.map(str))  # MAP201: 1
load.override(task_id="again", trigger_rule="all_done").expand(country=loaded)  # MAP201: 1
loaded >> BashOperator(  # MAP201: 11
    task_id="say", bash_command="echo {{ ti.xcom_pull(task_ids='load') }}", trigger_rule="all_done"
)

# What a branch may skip is what the rule is for.
chosen = load.override(task_id="chosen").expand(country=countries)
then = load.override(task_id="then").expand(country=chosen)
only_some() >> [chosen, pulls_one()]
summarise(chosen)
summarise(then)
branch = BranchPythonOperator(task_id="branch", python_callable=only_some)
other = PythonOperator.partial(task_id="other", python_callable=print).expand(op_args=[["us"], ["fr"]])
branch >> other
PythonOperator(task_id="p", python_callable=print, op_args=[other.output], trigger_rule="all_done")
