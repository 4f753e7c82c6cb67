"""What is mapped within a running task alone has no instances: nobody pays for the import."""
import pandas as pd
from airflow.decorators import dag, task


@dag
def light():
    @task
    def one(x):
        return pd.DataFrame([x])

    @task
    def many(xs):
        one.expand(x=xs)  # MAP102: 9

    many([1, 2])


light()
