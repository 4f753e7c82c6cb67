"""What a run is told that works again on what another run has not done, and on nothing else."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Mapping

CONF = "mapping_kit_again"


class Again(NamedTuple):
    """Which run of the DAG has not done all, and the mapped tasks and groups of which that is done again."""

    run_id: str
    names: tuple[str, ...]

    @classmethod
    def of(cls, conf: Mapping[str, Any] | None) -> Again | None:
        """Return what the conf of a run says of it, `None` of any other run.

        `{"mapping_kit_again": {"run": "manual__1", "of": ["ship"]}}` gives `Again("manual__1", ("ship",))`.
        """
        told = (conf or {}).get(CONF)
        if not isinstance(told, dict) or not isinstance(told.get("run"), str):
            return None
        return cls(told["run"], tuple(map(str, told.get("of") or ())))

    def within(self, conf: Mapping[str, Any] | None) -> dict[str, Any]:
        """Return the conf of the run that does it, with all else that the other run was told."""
        return {**(conf or {}), CONF: {"run": self.run_id, "of": list(self.names)}}
