"""The parts that the demo and the end-to-end tests start and end: PostgreSQL, an S3 server, Airflow.

The package imports neither Airflow nor the kit: both belong to the processes that it starts, which use the
installed wheel and never the source tree beside it.
"""

from __future__ import annotations
