from __future__ import annotations

import pendulum

from airflow_mapping_kit.generators import s3, s3_keys
from airflow_mapping_kit.generators.s3 import s3_contents
from airflows import dag


def test_files_that_are_too_many_name_the_batch_size_that_fits():
    @dag(dag_id="parsed", schedule=None, start_date=pendulum.datetime(2024, 1, 1))
    def parsed():
        s3_contents("lake", "landing/")

    generator = parsed().get_task("s3_contents")
    plan = [{"keys": [str(n), f"{n}b"], "etags": {}} for n in range(1025)]
    assert generator.remedy(plan, 1024) == "Put more files into an instance: batch_size=3."


def test_keys_of_a_directory_bucket_are_sorted_which_s3_lists_in_no_order(mocker):
    # No server to be had here has such buckets.
    mocker.patch.object(s3, "s3_client")
    mocker.patch.object(s3, "listed", return_value=[{"Key": key, "Size": 1} for key in ("b", "🛬", "a", "é")])
    keys = s3_keys.function
    assert list(keys("lake--use1-az4--x-s3")) == ["a", "b", "é", "🛬"]
    assert list(keys("lake", batch_size=3)) == [["b", "🛬", "a"], ["é"]]
