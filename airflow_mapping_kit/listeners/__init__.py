"""What the kit does when Airflow says that a run or an instance starts, and how an instance ended.

It labels what the policy could not, and keeps for the fan-in what Airflow forgets.
"""

from __future__ import annotations
