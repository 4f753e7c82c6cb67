from __future__ import annotations

import pendulum

from airflow_mapping_kit.generators.s3 import s3_contents
from airflows import dag


def test_files_that_are_too_many_name_the_batch_size_that_fits():
    @dag(dag_id="parsed", schedule=None, start_date=pendulum.datetime(2024, 1, 1))
    def parsed():
        s3_contents("lake", "landing/")

    generator = parsed().get_task("s3_contents")
    plan = [{"keys": [str(n), f"{n}b"], "etags": {}} for n in range(1025)]
    assert generator.remedy(plan, 1024) == "Take more files an instance: batch_size=3."
