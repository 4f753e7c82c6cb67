"""The ways from a task to the runs that it has started."""

from __future__ import annotations

from typing import Any

from airflow_mapping_kit.compat import AIRFLOW_3, BaseOperatorLink, rendered_field, runs_url
from airflow_mapping_kit.operators.dagrun.plan import prefix_of
from airflow_mapping_kit.results import FAILED


class ChildRunsLink(BaseOperatorLink):
    """The button *Child runs*: those of the run of a task, in Airflow's list of the runs of their DAG."""

    name = "Child runs"
    _state = ""

    def get_link(self, operator: Any, *, ti_key: Any) -> str:
        """Return where Airflow lists them.

        :param operator: the operator as the task had it or, in Airflow 2's web server, serialized.
        :param ti_key: the instance, or its key.
        """
        declared = getattr(operator, "trigger_dag_id", None)
        trigger_dag_id = declared if AIRFLOW_3 else rendered_field(ti_key, "trigger_dag_id") or declared
        if not trigger_dag_id or "{{" in trigger_dag_id:
            return ""
        return url_of(trigger_dag_id, ti_key.dag_id, ti_key.run_id, self._state)


class FailedChildRunsLink(ChildRunsLink):
    """The button *Failed child runs*: those alone that failed."""

    name = "Failed child runs"
    _state = FAILED


def url_of(trigger_dag_id: str, dag_id: str, run_id: str, state: str = "") -> str:
    """Return where Airflow lists the child runs of a run, or those in a state."""
    return runs_url(trigger_dag_id, run_id_prefix=prefix_of(dag_id, run_id), state=state)
