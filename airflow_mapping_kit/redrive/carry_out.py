"""Doing what a preview has shown, and no more."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from airflow_mapping_kit.compat import AirflowException, own_session, trigger
from airflow_mapping_kit.exceptions import ChangedError, RedriveError
from airflow_mapping_kit.redrive.clearing import clear, log

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from airflow_mapping_kit.redrive.clearing import Actor
    from airflow_mapping_kit.redrive.preview import Preview
    from airflow_mapping_kit.redrive.wanted import Cleared


class Done(NamedTuple):
    """What was done of a preview.

    :param cleared: the instances that were cleared, by run id.
    :param started: the ids of the runs that were started.
    :param left: how many instances were left alone, since they had changed meanwhile.
    """

    cleared: Mapping[str, Sequence[Cleared]]
    started: Sequence[str]
    left: int

    @property
    def instances(self) -> int:
        """How many instances were cleared."""
        return sum(map(len, self.cleared.values()))


def carry_out(shown: Preview, actor: Actor, *, digest: str | None = None) -> Done:
    """Clear and start what a preview shows, and say so in Airflow's audit log.

    All that is cleared is so in one transaction. What has changed since the preview was made is left alone, so never
    more is done than it shows; a run that somebody else has started in the meantime is not started again.

    :param shown: the preview, made just now.
    :param actor: who does it.
    :param digest: that of the preview which somebody has agreed to, a while ago.
    :raises ChangedError: if that was another one: the error carries the new one, and nothing was done.
    :raises RedriveError: if a run can't be started, with what was done before.
    """
    if digest is not None and digest != shown.digest:
        raise ChangedError(
            "The list has changed in the meantime. Look at it again. Nothing was cleared or started.",
            shown,
        )
    wanted = {one.run_id: one.wanted for one in shown.runs}
    cleared = clear(shown.dag, wanted, actor=actor, fresh=shown.fresh) if wanted else {}
    started: list[str] = []
    number = sum(map(len, cleared.values()))
    for one in shown.starts:
        # Before it, as Airflow does: whatever ends this process then, nothing is done that the log doesn't tell of.
        with own_session() as session:
            log(session, actor, shown.dag.dag_id, one.run_id, {"start": one.conf})
        try:
            new = trigger(shown.dag.dag_id, one.run_id, one.conf, user=actor.owner, until=shown.dag.end_date)
        except (AirflowException, ValueError) as error:
            raise RedriveError(
                f"The run {one.run_id} can't be started: {error} Before it {number:,} instances were cleared, and "
                f"{len(started):,} of {len(shown.starts):,} runs started."
            ) from error
        if new:
            started.append(one.run_id)
    return Done(cleared, started, shown.instances - number)
