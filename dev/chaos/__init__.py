"""A campaign that breaks parts of a running Airflow and asks witnesses outside of it what became of the work."""
