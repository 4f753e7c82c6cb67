"""Heavy modules at the top of a DAG file with mapped tasks."""
import json

import boto3  # MAP110: 1 "imports boto3"
import pandas as pd  # MAP110: 1
from airflow.decorators import dag, task
from sklearn.linear_model import LinearRegression  # MAP110: 1


@dag
def heavy():
    @task
    def one(x):
        return pd.DataFrame([x]), boto3, LinearRegression, json

    one.expand(x=[1, 2])


heavy()
