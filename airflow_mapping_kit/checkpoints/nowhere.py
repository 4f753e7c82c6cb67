"""Nothing is kept of a batch: there is no place that a retry, or anybody else, could find it at."""

from __future__ import annotations

from typing import TYPE_CHECKING, NoReturn

from airflow_mapping_kit.exceptions import StorageError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from airflow_mapping_kit.checkpoints.owners import Owner
    from airflow_mapping_kit.checkpoints.rows import Line


class Nowhere:
    """Looks on the way whose the instance is, and keeps nothing.

    :param owner: whose it is, where Airflow does not look by itself.
    """

    kept_with = None
    outlives_tries = holds_parts = False
    save_bytes = 1 << 20

    def __init__(self, owner: Owner | None = None) -> None:
        self._owner = owner

    def begin(self) -> None:
        """Do nothing."""

    def load(self) -> Iterator[str]:
        """Yield nothing."""
        yield from ()

    def add(self, lines: Sequence[Line]) -> None:  # noqa: ARG002 -- it keeps none
        """Look whose the instance is.

        :raises Superseded: if it is not this process's own any more.
        """
        if self._owner is not None:
            self._owner.check()

    def begin_afresh(self) -> None:
        """Delete nothing."""

    def finish(self, lines: Sequence[Line], keep: Callable[[int], bool]) -> NoReturn:  # noqa: ARG002 -- it keeps none
        """Refuse: results that are kept nowhere are a list.

        :raises StorageError: if they are to be none.
        """
        raise StorageError(
            "The results of a slice of a plan are no list, and there is no place to store them. Set one that all "
            "workers can reach: [mapping_kit] storage = s3://aws_default@bucket/mapping_kit"
        )

    def succeeded(self) -> None:
        """Delete nothing."""
