"""Which key goes where, checked before anything moves."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from airflow_mapping_kit.exceptions import StorageError
from airflow_mapping_kit.partitions.sequences import shown
from airflow_mapping_kit.storage.buckets import given_keys

if TYPE_CHECKING:
    from collections.abc import Iterable

_MAX_KEY_BYTES = 1024


class Move(NamedTuple):
    """One object's way: from a key to another, in the same bucket or not."""

    source_bucket: str
    source_key: str
    dest_bucket: str
    dest_key: str

    @property
    def source_url(self) -> str:
        """The object as messages name it."""
        return f"s3://{self.source_bucket}/{self.source_key}"

    @property
    def dest_url(self) -> str:
        """Where it goes, as messages name it."""
        return f"s3://{self.dest_bucket}/{self.dest_key}"


def planned_moves(
    keys: str | Iterable[str],
    *,
    source_bucket: str,
    source_prefix: str,
    dest_bucket: str,
    dest_prefix: str,
    whole_bucket: bool = False,
    one_store: bool = True,
) -> list[Move]:
    """Return a move for each key, in order: to `dest_prefix` and what follows `source_prefix` in the key.

    `landing/20130101/EWR.csv` from `landing/` to `processed/` goes to `processed/20130101/EWR.csv`.

    :param one_store: whether both buckets are reached by one connection, so that one name is one bucket
    :raises StorageError: if the source prefix is empty and `whole_bucket` isn't set, a moved object would lie
        under the source prefix again, a key isn't under it or stands twice, or the new key can't be one
    """
    _check_places(source_bucket, source_prefix, dest_bucket, dest_prefix, whole_bucket=whole_bucket)
    within = one_store and source_bucket == dest_bucket
    if within and dest_prefix.startswith(source_prefix):
        raise StorageError(
            f"dest_prefix {shown(dest_prefix)} lies under source_prefix {shown(source_prefix)} in the same "
            f"bucket {source_bucket!r}, so that what was moved would be listed again: choose another. (A "
            f"prefix is text: 'landing' is the beginning of 'landing-done/' too, 'landing/' is not.)"
        )
    moves: list[Move] = []
    for key in given_keys(keys):
        if not key.startswith(source_prefix):
            raise StorageError(
                f"the key {shown(key)} does not begin with source_prefix {shown(source_prefix)}: nothing was "
                f"moved. Pass only keys below it, written from the bucket's root"
            )
        move = Move(source_bucket, key, dest_bucket, dest_prefix + key[len(source_prefix) :])
        _check_destination(move, source_prefix, within=within)
        moves.append(move)
    return moves


def _check_places(
    source_bucket: str, source_prefix: str, dest_bucket: str, dest_prefix: str, *, whole_bucket: bool
) -> None:
    for name, bucket in (("source_bucket", source_bucket), ("dest_bucket", dest_bucket)):
        if not isinstance(bucket, str) or not bucket or "/" in bucket:
            raise StorageError(f"{name} is {shown(bucket)}: write the bucket's name alone, such as 'lake'")
    for name, prefix in (("source_prefix", source_prefix), ("dest_prefix", dest_prefix)):
        if not isinstance(prefix, str):
            raise StorageError(f"{name} is {shown(prefix)}: write text, such as 'landing/'")
    if not source_prefix and not whole_bucket:
        raise StorageError(
            f"source_prefix is empty, so that any key of the bucket {source_bucket!r} could be moved: name "
            f"the prefix of the keys, such as 'landing/', or say whole_bucket=True if that is meant"
        )


def _check_destination(move: Move, source_prefix: str, *, within: bool) -> None:
    if within and move.dest_key.startswith(source_prefix):
        raise StorageError(
            f"the key {shown(move.source_key)} would go to {shown(move.dest_key)}, which lies under "
            f"source_prefix {shown(source_prefix)} in the same bucket again: choose another dest_prefix"
        )
    size = len(move.dest_key.encode(errors="surrogatepass"))
    if not 0 < size <= _MAX_KEY_BYTES:
        raise StorageError(
            f"the key {shown(move.source_key)} would become a key of {size} bytes, and S3 takes 1 to "
            f"{_MAX_KEY_BYTES}: choose another dest_prefix"
        )
