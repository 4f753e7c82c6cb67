"""Move one object so that it can be interrupted anywhere and done again: copy, verify, delete."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airflow_mapping_kit.compat import AirflowException
from airflow_mapping_kit.exceptions import StorageError
from airflow_mapping_kit.operators.s3.contents import MD5, same_content, stored
from airflow_mapping_kit.operators.s3.copies import NOT_COPIED, copied
from airflow_mapping_kit.operators.s3.protection import Protection, is_locked
from airflow_mapping_kit.operators.s3.uploads import knows
from airflow_mapping_kit.partitions.sequences import shown
from airflow_mapping_kit.printable import one_line
from airflow_mapping_kit.storage.buckets import error_code

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from concurrent.futures import Executor

    from airflow_mapping_kit.operators.s3.contents import StoredObject
    from airflow_mapping_kit.operators.s3.plan import Move

_CHANGED = {"412", "PreconditionFailed"}
# What S3 says of a copy that can't have what it should get.
_CANT_HAVE = {
    "400", "403", "AccessControlListNotSupported", "AccessDenied", "InvalidArgument", "InvalidRequest",
    "InvalidStorageClass", "KMS.DisabledException", "KMS.KMSInvalidStateException", "KMS.NotFoundException",
}  # fmt: skip
_GONE = {"404", "NoSuchKey", "NotFound"}


class Ended(AirflowException):
    """The task is to end."""


class Mover:
    """Move objects, inside a store or from one to another. Threads may share it.

    Every step can be repeated: an object that is at both places is compared and, where equal, only deleted;
    one that is only at the destination was moved before.

    :param client: boto3's client of the sources' store
    :param dest_client: that of the destinations'; another one copies through this process
    :param replace: whether another object at the destination is overwritten
    :param etags: what the objects have to hold, by key; an object without one may hold anything
    :param parts: runs the copying of parts. Not the executor that calls `move`: that would wait for itself
    :param extra_args: what the copies get, instead of what the source has of it
    :param keep_protection: whether the copies get, and have to have, what protects the source
    :param ended: whether the task is to end: then nothing more is copied or deleted
    """

    def __init__(
        self,
        client: Any,
        dest_client: Any,
        *,
        replace: bool,
        etags: Mapping[str, str],
        parts: Executor,
        extra_args: Mapping[str, Any],
        keep_protection: bool,
        ended: Callable[[], bool],
    ) -> None:
        self._client = client
        self._dest_client = dest_client
        self._extra_args = extra_args
        self._keep_protection = keep_protection
        self._ended = ended
        self._replace = replace
        self._etags = etags
        self._parts = parts
        self._deletes_if_match = knows(client, "DeleteObject", "IfMatch")

    def move(self, move: Move) -> dict[str, Any]:
        """Move one object.

        :return: `{"key", "moved_to", "bytes", "status"}`
        :raises StorageError: if it can't be moved as asked, however often
        :raises AirflowException: if it changed meanwhile
        :raises Ended: if the task is to end
        """
        self._go_on()
        expected = self._etags.get(move.source_key)
        source = stored(self._client, move.source_bucket, move.source_key)
        dest = stored(self._dest_client, move.dest_bucket, move.dest_key)
        if source is None:
            if dest is None:
                raise StorageError(
                    "neither at the source nor at the destination; someone else deleted or moved it"
                )
            if (
                expected is not None
                and dest.etag_is_md5
                and MD5.fullmatch(expected)
                and dest.etag != expected
            ):
                raise StorageError(
                    "gone from the source, and the object at the destination is another than was listed: "
                    "someone else deleted or moved it"
                )
            return _result(move, dest, "already_moved")
        if expected is not None and source.etag != expected:
            raise StorageError(
                f"rewritten since it was listed (its ETag was {expected} and is {source.etag}); the new object "
                f"was left at the source, for a run that lists it again"
            )
        if dest is not None and _look_like_one(source, dest):
            raise StorageError(
                f"{shown(move.source_url)} and {shown(move.dest_url)} look like one and the same object (same "
                f"key, content and moment of writing). One bucket's name may be an alias of the other. Nothing was "
                f"deleted. Choose another dest_prefix"
            )
        protection = Protection(source, self._extra_args) if self._keep_protection else None
        if dest is None or not self._is_copied(source, dest, protection):
            dest = self._copied(source, move, protection)
        self._go_on()
        self._delete(source)
        return _result(move, dest, "moved")

    def _is_copied(self, source: StoredObject, dest: StoredObject, protection: Protection | None) -> bool:
        """Tell whether what is at the destination will do for the copy, or else may be overwritten."""
        if not same_content(source, dest):
            problem = "another object has the destination's key already"
        elif protection and (missing := protection.missing(dest)):
            problem = f"the object at the destination is the same, but doesn't have {missing} of the source"
        else:
            return True
        if self._replace:
            return False
        raise StorageError(
            f"{problem}; both were left as they are. Delete one of them, or say replace=True to overwrite the one "
            f"at the destination"
        )

    def _copied(self, source: StoredObject, move: Move, protection: Protection | None) -> StoredObject:
        from botocore.exceptions import ClientError

        extra = {**(protection.arguments if protection else {}), **self._extra_args}
        self._go_on()
        try:
            copied(
                source,
                self._dest_client,
                move.dest_bucket,
                move.dest_key,
                extra=extra,
                overwrite=self._replace,
                parts=self._parts,
                go_on=self._go_on,
            )
        except ClientError as error:
            asked = dict.fromkeys([name for name in NOT_COPIED if name in source.head] + list(extra))
            if asked and error_code(error) in _CANT_HAVE:
                raise StorageError(
                    f"S3 refused to make a copy with {', '.join(asked)} of the source: {error_code(error)} "
                    f"({one_line(error.response.get('Error', {}).get('Message') or '')}); nothing was deleted. Let "
                    f"the connection's role give them, or say with extra_args what the copies get instead, or "
                    f"keep_protection=False"
                ) from error
            # The source changed, or something is at the destination now: perhaps this copy, its answer lost.
            if error_code(error) not in _CHANGED:
                raise
        dest = stored(self._dest_client, move.dest_bucket, move.dest_key)
        if dest is None or not same_content(source, dest):
            raise AirflowException(
                "the object at the destination isn't the one that was at the source: one of them was rewritten "
                "in the meantime. The source was not deleted"
            )
        if protection and (missing := protection.missing(dest, fresh=True)):
            raise StorageError(
                f"the copy doesn't have {missing} of the source, which was not deleted. Say with extra_args what "
                f"the copies get instead, or keep_protection=False to lose it"
            )
        return dest

    def _go_on(self) -> None:
        if self._ended():
            raise Ended(
                "The task was ended: nothing more is copied or deleted. It can be run again with the same keys, and "
                "goes on where it stopped."
            )

    def _delete(self, source: StoredObject) -> None:
        name = {"Bucket": source.bucket, "Key": source.key}
        # A version that is locked can't be deleted, only hidden.
        if source.version_id and not is_locked(source) and not self._uncovers_another(source):
            # Names what was copied and nothing else: what was written since is another version.
            self._client.delete_object(**name, **source.version)
            return
        now = stored(self._client, source.bucket, source.key)
        if now is None:
            return
        if (now.etag, now.version_id) != (source.etag, source.version_id):
            raise _rewritten()
        self._delete_unless_rewritten(name, source.etag)

    def _uncovers_another(self, source: StoredObject) -> bool:
        """Tell whether an older version of the same key would come back if this one were deleted."""
        # The versions of a key precede those of longer ones.
        page = self._client.list_object_versions(Bucket=source.bucket, Prefix=source.key)
        versions = [version for version in page.get("Versions", ()) if version["Key"] == source.key]
        latest = any(
            version["IsLatest"] and version["VersionId"] == source.version_id for version in versions
        )
        return latest and len(versions) > 1

    def _delete_unless_rewritten(self, name: dict[str, str], etag: str) -> None:
        from botocore.exceptions import ClientError

        condition = {"IfMatch": f'"{etag}"'} if self._deletes_if_match else {}
        try:
            self._client.delete_object(**name, **condition)
        except ClientError as error:
            code = error_code(error)
            if code in _CHANGED:
                raise _rewritten() from error
            if condition and code in {"501", "NotImplemented"}:
                self._deletes_if_match = False
                self._client.delete_object(**name)
            elif code not in _GONE:
                raise


def _look_like_one(source: StoredObject, dest: StoredObject) -> bool:
    # The copy of an object has a moment of its own, a second or more later in all but the rarest of cases.
    one, other = ((o.key, o.etag, o.version_id, o.head["LastModified"]) for o in (source, dest))
    return one == other


def _rewritten() -> AirflowException:
    return AirflowException(
        "rewritten at the source after it was copied; the new object was left there, and the copy of the old "
        "one at the destination"
    )


def _result(move: Move, dest: StoredObject, status: str) -> dict[str, Any]:
    return {"key": move.source_key, "moved_to": move.dest_key, "bytes": dest.size, "status": status}
