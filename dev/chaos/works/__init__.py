"""Each kind of work that faults are let loose on, and what became of it, looked up outside of Airflow."""
