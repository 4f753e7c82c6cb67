"""Three mapped instances of which one does what the run's configuration says, for the tests of the stack itself."""

from __future__ import annotations

import pendulum

from airflow_mapping_kit.compat import dag, task


@dag(schedule=None, start_date=pendulum.datetime(2024, 1, 1), params={"add": 0})
def two_numbers():
    @task(map_index_template="number {{ task.op_kwargs['number'] }}")
    def added(number, add):
        return number + int(add)

    added.partial(add="{{ params.add }}").expand(number=[1, 2, 3])


two_numbers()
