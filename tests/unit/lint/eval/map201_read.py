"""What a mapped task returned, given to tasks that don't read it, or that has all in it."""
from airflow.decorators import task


@task
def load(country):
    return country


@task
def load_safely(country):
    try:
        return {"country": country, "rows": len(open(country).read())}
    except Exception as error:
        return {"country": country, "error": str(error)}


# It comes after them: no more.
@task(trigger_rule="all_done")
def publish(_loaded, table):
    print(table)


@task(trigger_rule="all_done")
def summarise(results):
    return sum(one["rows"] for one in results)


loaded = load.expand(country=["us", "fr"])
publish(loaded, "t")
publish(_loaded=loaded, table="t")
summarise(load_safely.expand(country=["us", "fr"]))
summarise(results=loaded)  # MAP201: 1
