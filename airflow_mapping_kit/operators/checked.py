"""An operator whose mistakes show when the DAG's file is parsed, also where it is mapped."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airflow_mapping_kit.compat import BaseOperator

if TYPE_CHECKING:
    from airflow.models.mappedoperator import OperatorPartial


class CheckedOperator(BaseOperator):
    """Check the arguments that no template makes, in `partial` as in the constructor.

    Airflow makes a mapped operator only when an instance runs. An argument that can't be would fail each instance
    then, after all of its retries.
    """

    @classmethod
    def partial(cls, **kwargs: Any) -> OperatorPartial:
        """Fix arguments of the mapped task, as Airflow does, and check them first."""
        cls.check_fixed(**kwargs)
        return super().partial(**kwargs)

    @classmethod
    def check_fixed(cls, **kwargs: Any) -> None:
        """Check arguments, whichever there are.

        :raises MappingKitError: showing the one that can't be
        """
        raise NotImplementedError
