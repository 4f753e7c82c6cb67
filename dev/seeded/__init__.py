"""Histories of runs, written straight into Airflow's tables: what a year of work leaves, in seconds.

`rows` writes runs and instances by bulk SQL, `histories` says what became of them, `dags` has the DAGs they are of.
"""
