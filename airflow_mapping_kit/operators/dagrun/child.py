"""The DAG whose runs are started: whether that can be done, and whether anything would come of it. Airflow 2.x."""

from __future__ import annotations

import copy
import difflib
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any

from airflow_mapping_kit.compat import again_if_disconnected, own_session
from airflow_mapping_kit.exceptions import ChildRunError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from airflow_mapping_kit.operators.dagrun.plan import ChildRun


@dataclass(frozen=True)
class Child:
    """A DAG that can run now, as the scheduler knows it.

    :param dag: the serialized DAG.
    :param dag_hash: which version of it that is.
    """

    dag: Any
    dag_hash: str

    @classmethod
    @again_if_disconnected
    def of(cls, dag_id: str) -> Child:
        """Return the DAG of this name.

        :raises ChildRunError: if there is none, or its runs would wait for ever or do nothing.
        """
        from airflow.models.dag import DagModel
        from airflow.models.serialized_dag import SerializedDagModel

        with own_session() as session:
            model = session.get(DagModel, dag_id)
            if model is not None and model.has_import_errors:
                raise ChildRunError(
                    f"The file of the DAG {dag_id!r}, {model.fileloc}, can't be imported: "
                    f"{_import_error(model.fileloc, session)}. No run was started. Mend the file."
                )
            serialized = SerializedDagModel.get(dag_id, session=session)
            if model is None or not model.is_active or serialized is None:
                raise ChildRunError(
                    f"There is no DAG {dag_id!r}{_near(dag_id, session)}. Check trigger_dag_id, and with "
                    f"`airflow dags list-import-errors` whether its file can be imported."
                )
            if model.is_paused:
                raise ChildRunError(
                    f"The DAG {dag_id!r} is paused, so its runs would never begin. Unpause it "
                    f"(`airflow dags unpause {dag_id}`), then clear this task."
                )
            child = cls(serialized.dag, serialized.dag_hash)
        child.check_dates()
        return child

    @property
    def max_active_runs(self) -> int:
        """How many runs of it go on at once; 0 of one without a limit."""
        return int(self.dag.max_active_runs or 0)

    def check_dates(self) -> None:
        """Refuse a DAG whose tasks don't run now: without tasks a run succeeds, having done nothing.

        :raises ChildRunError: naming the first such task.
        """
        now = datetime.now(timezone.utc)
        for task in self.dag.tasks:
            for name, moment, amiss in (
                ("start_date", task.start_date, task.start_date and task.start_date > now),
                ("end_date", task.end_date, task.end_date and task.end_date < now),
            ):
                if amiss:
                    raise ChildRunError(
                        f"{task.task_id} of the DAG {self.dag.dag_id!r} has the {name} {moment.isoformat()}, "
                        f"and a run of now would leave it out. Change the {name}."
                    )

    def check_params(self, runs: Iterable[ChildRun]) -> None:
        """Refuse runs that the DAG's params don't allow, before any of them is started.

        :raises ChildRunError: naming the first of them.
        """
        if self.dag.params:
            for run in runs:
                self._check_params(run)

    def _check_params(self, run: ChildRun) -> None:
        from airflow.exceptions import ParamValidationError

        try:
            params = copy.deepcopy(self.dag.params)
            params.update(run.conf)
            params.validate()
        except ParamValidationError as error:
            # A validator shows the whole schema after the first line.
            said = str(error).splitlines()[0].rstrip(".:")
            raise ChildRunError(
                f"The params of the DAG {self.dag.dag_id!r} don't allow what {run.key} would be told: {said}. "
                f"No run was started. Change the item, conf, item_key or the params."
            ) from error


def _near(dag_id: str, session: Any) -> str:
    from airflow.models.dag import DagModel
    from sqlalchemy import select

    near = difflib.get_close_matches(
        dag_id, session.scalars(select(DagModel.dag_id).where(DagModel.is_active))
    )
    return f" (there are {', '.join(near)})" if near else ""


def _import_error(fileloc: str, session: Any) -> str:
    from airflow.models.errors import ParseImportError
    from sqlalchemy import select

    trace = session.scalar(select(ParseImportError.stacktrace).where(ParseImportError.filename == fileloc))
    return (trace or "see `airflow dags list-import-errors`").strip().splitlines()[-1]
