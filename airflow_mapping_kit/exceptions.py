"""The errors that the kit raises about what it was given.

* MappingKitError

  * ChildRunError: a DAG whose runs cannot be started as asked
  * FanInError: a fan-in that cannot say what became of every piece
  * MissingNameError: a part of the kit that does not work with this Airflow
  * PartitionError: a date, dimension, partition or key that cannot be one
  * PlanError: a list of pieces that Airflow could not map over
  * QueryError: a query that does not fit its partition
  * RedriveError: pieces that can't be run again or started as asked

    * ChangedError: what was agreed to isn't what would be done now

  * ResultError: what an item returned, where it cannot be kept
  * SelectionError: a selection of partitions that cannot be read, or is not of these partitions
  * SourceError: a file that items are read from and that isn't what it has to be
  * SteeringError: a setting that batches at work cannot have, or nothing at work that could have it
  * StorageError: a bucket, prefix or key that cannot be listed or moved as asked
  * TargetError: a place that a partition cannot be written to

All are `ValueError`, so pure code can be used without knowing the kit's names.
"""

from __future__ import annotations

from typing import Any

# So much of a text is shown before and after the place where something is wrong.
_AROUND = 24


class MappingKitError(ValueError):
    """Base of every error that the kit raises about what it was given."""


class ChildRunError(MappingKitError):
    """Runs of another DAG cannot be started as asked, or nothing would come of them."""


class FanInError(MappingKitError):
    """A fan-in cannot be what it is asked to be, or cannot say what became of every piece."""


class MissingNameError(ImportError, MappingKitError):
    """This Airflow lacks what a part of the kit needs of it: the part can't be imported, all others can."""


class PartitionError(MappingKitError):
    """A date, dimension, partition or key is not what it has to be."""


class PlanError(MappingKitError):
    """A plan is empty or too long where Airflow would map over it."""


class QueryError(MappingKitError):
    """A query and its partition do not fit each other."""


class RedriveError(MappingKitError):
    """Pieces cannot be run again or started as asked."""


class ChangedError(RedriveError):
    """What was agreed to is not what would be done now.

    :param preview: what would be.
    """

    def __init__(self, message: str, preview: Any) -> None:
        super().__init__(message)
        self.preview = preview


class ResultError(MappingKitError):
    """What an item of a batch returned cannot be kept as an XCom."""


class SelectionError(MappingKitError):
    """A selection of partitions cannot be read, or names a dimension that is not there.

    :param said: what is wrong, and what to write instead.
    :param text: the whole selection.
    :param position: where in it, counted from 0.
    """

    def __init__(self, said: str, text: str, position: int) -> None:
        before, after = text[:position][-_AROUND:], text[position:][:_AROUND]
        place = f"before {after!r}" if after else "at its end"
        super().__init__(
            f"the selection can't be read at character {position + 1:,}, "
            f"{f'after {before!r}, ' if before else ''}{place}: {said}"
        )
        self.said, self.text, self.position = said, text, position

    def __reduce__(self) -> tuple[type[SelectionError], tuple[str, str, int]]:
        return type(self), (self.said, self.text, self.position)


class SourceError(MappingKitError):
    """A file that items are read from is not what it has to be."""


class SteeringError(MappingKitError):
    """A setting is none that batches at work can have, or nothing is at work that could have it."""


class StorageError(MappingKitError):
    """A bucket, prefix or key cannot be listed or moved as asked."""


class SchemeError(StorageError):
    """Nothing installed has a file system for what a URI begins with."""


class TargetError(MappingKitError):
    """A target cannot hold the partition."""
