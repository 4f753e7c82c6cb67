"""A list, and what was computed from it."""
from airflow.decorators import task


@task
def regions():
    return ["eu", "us"]


@task
def rows(region):
    return [region]


@task
def both(found):
    return [{"region": one, "rows": [one]} for one in found]


@task
def write(region, rows):
    print(region, rows)


found = regions()
extracted = rows.expand(region=found)
write.expand(region=found, rows=extracted)  # MAP105: 1 "N × N"
merged = both(extracted)
write.expand(region=found, rows=merged)  # MAP105: 1
write.expand(region=found.map(str), rows=found.map(len))  # MAP105: 1
write.expand(region=found, rows=found.map(lambda one: [one]))  # MAP105: 1
# Every pair is meant.
write.expand(region=regions().map(str), rows=regions().map(len))
write.expand(region=found, rows=[1, 2])
write.expand(region=["a"], rows=regions())
write.partial(rows=extracted).expand(region=found)
write.expand_kwargs(both(found))
