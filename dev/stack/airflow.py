"""Airflow, whichever version is installed."""

from __future__ import annotations

from importlib.metadata import version

from stack.airflow_any import FINISHED_RUN, NOW, AnyAirflow

VERSION = version("apache-airflow")
AIRFLOW_3 = not VERSION.startswith("2.")

# Only one of the two fits what is installed: tables, commands and parts differ.
if AIRFLOW_3:
    from stack.airflow_3 import Airflow3 as Airflow
else:
    from stack.airflow_2 import Airflow2 as Airflow

__all__ = ["AIRFLOW_3", "FINISHED_RUN", "NOW", "VERSION", "Airflow", "AnyAirflow"]
