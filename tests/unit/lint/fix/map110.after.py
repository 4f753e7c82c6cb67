"""Über Zahlen."""
import json

import numpy as np
from airflow.decorators import dag, task


@dag
def heavy():
    @task
    def one(path):
        """Read one."""
        import pandas as pd

        return len(pd.read_csv(path))

    @task
    def two(path):
        import pandas as pd

        @json.dumps
        def inner():
            return pd.DataFrame()

        return inner, np.zeros(1)

    one.expand(path=["a"])
    two.expand(path=[np.inf])


heavy()
