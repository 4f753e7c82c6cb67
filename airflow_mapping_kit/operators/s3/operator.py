"""Move given keys from prefix to prefix, and nothing else."""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from typing import TYPE_CHECKING, Any

from airflow_mapping_kit.compat import (
    AirflowException,
    AirflowSkipException,
    bad_input_fails_at_once,
)
from airflow_mapping_kit.exceptions import StorageError
from airflow_mapping_kit.failures import said
from airflow_mapping_kit.lineage import collected, console
from airflow_mapping_kit.lineage.done import Done
from airflow_mapping_kit.operators.checked import CheckedOperator
from airflow_mapping_kit.operators.s3.mover import Ended, Mover
from airflow_mapping_kit.operators.s3.plan import planned_moves
from airflow_mapping_kit.operators.s3.protection import EXTRA_ARGS
from airflow_mapping_kit.partitions.sequences import shown
from airflow_mapping_kit.printable import one_line
from airflow_mapping_kit.reading.records import error_of
from airflow_mapping_kit.results import FAILED, SUCCESS
from airflow_mapping_kit.storage.buckets import s3_client, s3_errors
from airflow_mapping_kit.storage.terms import check_terms, say_terms

if TYPE_CHECKING:
    from collections.abc import Sequence

    from airflow.utils.context import Context

    from airflow_mapping_kit.lineage.datasets import Lineage
    from airflow_mapping_kit.operators.s3.plan import Move

_MAX_NAMED = 20


class S3MoveKeysOperator(CheckedOperator):
    """Move exactly the given objects from one prefix to another: copy, verify, then delete the original.

    It can be run again after any interruption. If an object is in both places, the two are compared, and if they are
    equal, only the original is deleted. If an object is only at the destination, its status is `already_moved`. (S3
    doesn't tell who wrote it, so it counts as moved by an earlier try.) Objects that arrived after the listing are
    never touched. If one key fails, the others continue.

    With `dest_aws_conn_id` the destination may be in another store. Then this process reads and writes the objects, in
    parts that are sent with their MD5, and verifies them in the same way.

    A copy is verified by its size and its ETag or checksum. Only if S3 has none that says anything, both objects are
    read. An object of more than 5 GiB is copied in parts, and one that was uploaded in parts is copied in the same
    parts. A killed task may leave parts that S3 doesn't show; a lifecycle rule (`AbortIncompleteMultipartUpload`)
    removes them.

    What is kept: content type and other headers, metadata, tags, storage class, the redirect of a website, and what
    protects the object: its ACL, KMS key, retention and legal hold. If the copy would be without one of these four,
    the key fails and the original stays, unless `extra_args` sets it or `keep_protection=False`. S3 can't keep the
    modification time, the version ID and older versions of an object, an owner that is another account, the encryption
    context of a KMS key, and the ETag of an object with a KMS key. Without a KMS key the encryption is that of the
    destination's bucket. Objects with a customer-provided key (SSE-C) can't be moved.

    What is deleted: in a bucket with versions, the version that was copied, by its ID. If an older version would then
    become visible, or if the version is locked (retention, legal hold) and S3 doesn't delete it, the key is hidden by
    a delete marker instead. A marker, and a delete in a bucket without versions, names only the key. So the object is
    checked once more right before, and the delete carries `If-Match`, which AWS checks. A server that doesn't know it
    (Ceph 16, moto) leaves a gap of one request; an object that is written to the same key in this gap is deleted (with
    versions: hidden). In the same way, only a server and a botocore that know `If-None-Match` for copies protect an
    object that appears at the destination between the check and the copy.

    It needs the permission `s3:ListBucket` on both buckets and `s3:GetObjectAcl` (unless `extra_args` sets the ACL).
    With versions it needs `s3:ListBucketVersions` and `s3:DeleteObjectVersion`, and for locked objects
    `s3:GetObjectRetention`, `s3:GetObjectLegalHold` and the permissions to put them.

    ```python
    S3MoveKeysOperator(
        task_id="move",
        keys=s3_keys("lake", "landing/20130101/"),
        source_bucket="lake",
        source_prefix="landing/",
        dest_prefix="processed/",
    )
    ```

    returns `[{"key": "landing/20130101/EWR.csv", "moved_to": "processed/20130101/EWR.csv", "bytes": 25604,
    "status": "moved"}, ...]`, a row for each key in their order.

    If the task is stopped (marked failed, timed out, its worker shut down), it copies no other object and deletes
    nothing more.

    :param keys: a key or a list of keys, from the root of the bucket, each below `source_prefix`. An empty list
        skips the task (templated, but values of an XCom are not rendered)
    :param source_bucket: the bucket's name (templated)
    :param source_prefix: the beginning of each key, which is replaced (templated)
    :param dest_prefix: what replaces it. It must not be below `source_prefix` (templated)
    :param dest_bucket: another bucket. By default the same one (templated)
    :param replace: whether a different object at the destination is overwritten. By default that key fails
    :param whole_bucket: whether `source_prefix` may be empty. Without it, a template that renders to nothing is an
        error
    :param etags: the ETags that the objects had when they were listed or loaded, `{key: ETag}`. If an object was
        changed since, it stays where it is, and its key fails (templated, but values of an XCom are not rendered)
    :param extra_args: properties of the copies, in place of the originals', with boto3's names: `{"ACL":
        "bucket-owner-full-control", "ServerSideEncryption": "aws:kms", "SSEKMSKeyId": "..."}`. Any argument for the
        ACL, the encryption and the lock, and `StorageClass` (templated)
    :param keep_protection: whether ACL, KMS key, retention and legal hold must be kept. With `False` the copies have
        `extra_args`, and otherwise the defaults of their bucket
    :param max_workers: how many keys are moved at the same time
    :param aws_conn_id: the Airflow connection (templated)
    :param dest_aws_conn_id: the Airflow connection to the destination, if that is another store or account. By default
        the same one. If it differs, this process reads and writes the objects (templated)
    :param requester_pays: whether the accounts of the connections pay for requests and transfers
    :param expected_bucket_owner: the account that must own the source bucket, twelve digits. S3 refuses every request
        to a bucket of another account (templated)
    :param dest_expected_bucket_owner: the account that must own the destination. By default the same, unless
        `dest_aws_conn_id` is another connection (templated)
    :raises StorageError: before any work, if a bucket can't be listed, a key isn't below `source_prefix` or occurs
        twice, or the prefixes overlap; afterwards, if keys failed and would fail again
    :raises AirflowException: afterwards, if keys failed and another try may move them
    """

    template_fields = (
        "keys",
        "etags",
        "source_bucket",
        "source_prefix",
        "dest_bucket",
        "dest_prefix",
        "extra_args",
        "aws_conn_id",
        "dest_aws_conn_id",
        "expected_bucket_owner",
        "dest_expected_bucket_owner",
    )
    template_fields_renderers = {"keys": "json"}  # noqa: RUF012  Airflow declares it so
    operator_extra_links = (console.StoreLink(),)
    ui_color = "#ffe9b8"
    done: Done | None = None
    store: str | None = None
    _killed = False

    def __init__(
        self,
        *,
        keys: str | Sequence[str],
        source_bucket: str,
        source_prefix: str,
        dest_prefix: str,
        dest_bucket: str | None = None,
        replace: bool = False,
        whole_bucket: bool = False,
        etags: Mapping[str, str] | None = None,
        extra_args: Mapping[str, Any] | None = None,
        keep_protection: bool = True,
        max_workers: int = 16,
        aws_conn_id: str | None = "aws_default",
        dest_aws_conn_id: str | None = None,
        requester_pays: bool = False,
        expected_bucket_owner: str | None = None,
        dest_expected_bucket_owner: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.check_fixed(extra_args=extra_args, max_workers=max_workers, requester_pays=requester_pays)
        self.keys = keys
        self.source_bucket = source_bucket
        self.source_prefix = source_prefix
        self.dest_prefix = dest_prefix
        self.dest_bucket = dest_bucket
        self.replace = replace
        self.whole_bucket = whole_bucket
        self.etags = etags
        self.extra_args = extra_args
        self.keep_protection = keep_protection
        self.max_workers = max_workers
        self.aws_conn_id = aws_conn_id
        self.dest_aws_conn_id = dest_aws_conn_id
        self.requester_pays = requester_pays
        self.expected_bucket_owner = expected_bucket_owner
        self.dest_expected_bucket_owner = dest_expected_bucket_owner

    @classmethod
    def check_fixed(
        cls,
        *,
        extra_args: Any = None,
        max_workers: Any = 16,
        requester_pays: Any = False,
        **_: Any,
    ) -> None:
        """Check the arguments that need no look at S3."""
        if isinstance(max_workers, bool) or not isinstance(max_workers, int) or max_workers < 1:
            raise StorageError(f"max_workers={max_workers!r} is no number of threads: write 1 or more")
        _check_extra_args(extra_args)
        check_terms(requester_pays=requester_pays)

    def execute(self, context: Context) -> list[dict[str, Any]]:
        """Move the keys and return a row for each."""
        with bad_input_fails_at_once():
            extra_args = {} if self.extra_args is None else self.extra_args
            if not isinstance(extra_args, Mapping):
                raise StorageError(f"extra_args is {shown(extra_args)}: write a dict of what the copies get")
            _check_extra_args(extra_args)
            if not isinstance(self.etags, Mapping | None):
                raise StorageError(
                    f"etags is {shown(self.etags)}: write a dict with the ETag of each key, {{'landing/a.csv': '...'}}"
                )
            moves = planned_moves(
                self.keys,
                source_bucket=self.source_bucket,
                source_prefix=self.source_prefix,
                dest_bucket=self.source_bucket if self.dest_bucket is None else self.dest_bucket,
                dest_prefix=self.dest_prefix,
                whole_bucket=self.whole_bucket,
                one_store=self._is_one_store,
            )
            check_terms(
                expected_bucket_owner=self.expected_bucket_owner,
                dest_expected_bucket_owner=self.dest_expected_bucket_owner,
            )
            if not moves:
                raise AirflowSkipException("No keys to move.")
            clients = self._clients(moves[0])
            self._check_buckets(clients, moves[0])
            results, failures = self._move_all(clients, moves, extra_args)
            bucket = moves[0].dest_bucket
            self._note(results, len(failures), bucket)
            console.show(self, console.s3_console(clients[1], bucket, self.dest_prefix), context)
            if failures:
                raise _failure(failures, len(moves))
        already = [row["key"] for row in results if row["status"] == "already_moved"]
        if already:
            self.log.warning(
                "%d keys were only at the destination, so they count as moved by an earlier try: %s",
                len(already),
                _named(already),
            )
        self.log.info(
            "Moved %d objects from s3://%s/%s to s3://%s/%s.",
            len(results) - len(already),
            moves[0].source_bucket,
            one_line(self.source_prefix),
            moves[0].dest_bucket,
            one_line(self.dest_prefix),
        )
        return results

    def lineage(self) -> Lineage:
        """Return the prefix that it moves from, and the one that it moves to, by the names that OpenLineage has."""
        from airflow_mapping_kit.lineage.datasets import Lineage, dataset_of

        return Lineage(
            [dataset_of(f"s3://{self.source_bucket}/{self.source_prefix}")],
            [dataset_of(f"s3://{self.dest_bucket or self.source_bucket}/{self.dest_prefix}")],
        )

    def get_openlineage_facets_on_complete(self, _: Any) -> Any:
        """Return what an instance has done, for Airflow's provider for OpenLineage, which looks for this name."""
        from airflow_mapping_kit.lineage.events import operator_lineage

        return operator_lineage(self.lineage(), self.done)

    def on_kill(self) -> None:
        """Copy no other object, and delete nothing more. Airflow 3 raises nothing in a task that it ends."""
        self._killed = True

    def _note(self, results: list[dict[str, Any]], failed: int, bucket: str) -> None:
        self.done = Done()
        self.done.states.update({SUCCESS: len(results), FAILED: failed})
        for row in results:
            if row["status"] == "moved":
                self.done.wrote(size=row["bytes"] or 0, place=f"s3://{bucket}/{row['moved_to']}")
        collected.tell(self)

    @property
    def _is_one_store(self) -> bool:
        # A template gives text, so no other connection may come as "".
        return (self.dest_aws_conn_id or self.aws_conn_id) == self.aws_conn_id

    def _clients(self, move: Move) -> tuple[Any, Any]:
        """Return the client of the source and that of the destination, the same one where one connection has both."""
        owner, dest_owner = self.expected_bucket_owner, self.dest_expected_bucket_owner
        client = s3_client(self.aws_conn_id, connections=self.max_workers)
        if self._is_one_store:
            owners = {move.source_bucket: owner, move.dest_bucket: dest_owner or owner}
            say_terms(client, requester_pays=self.requester_pays, owners=owners)
            return client, client
        dest_client = s3_client(self.dest_aws_conn_id, connections=self.max_workers)
        say_terms(client, requester_pays=self.requester_pays, owners={move.source_bucket: owner})
        say_terms(dest_client, requester_pays=self.requester_pays, owners={move.dest_bucket: dest_owner})
        return client, dest_client

    def _check_buckets(self, clients: tuple[Any, Any], move: Move) -> None:
        # Without the right to list, S3 says "refused" of objects that don't exist.
        client, dest_client = clients
        for reached_by, conn_id, bucket, prefix in (
            (client, self.aws_conn_id, move.source_bucket, self.source_prefix),
            (dest_client, self.dest_aws_conn_id or self.aws_conn_id, move.dest_bucket, self.dest_prefix),
        ):
            with s3_errors(conn_id, bucket, f"list s3://{bucket}/{prefix}"):
                reached_by.list_objects_v2(Bucket=bucket, Prefix=prefix, MaxKeys=1)

    def _move_all(
        self, clients: tuple[Any, Any], moves: list[Move], extra_args: Mapping[str, Any]
    ) -> tuple[list[dict[str, Any]], list[tuple[Move, Exception]]]:
        there = "" if self._is_one_store else f" to s3://{moves[0].dest_bucket} by {self.dest_aws_conn_id!r},"

        def move_one(move: Move) -> dict[str, Any] | Exception:
            what = f"move an object from s3://{move.source_bucket}/{self.source_prefix}{there}"
            try:
                with s3_errors(self.aws_conn_id, move.source_bucket, what):
                    return mover.move(move)
            except Ended:
                raise
            except (StorageError, AirflowException) as error:
                self.log.warning("%s was not moved: %s", shown(move.source_url), said(error_of(error)))
                return error

        # Threads start as they are needed: a task without objects in parts starts none of the second pool.
        with ThreadPoolExecutor(self.max_workers) as parts, ThreadPoolExecutor(self.max_workers) as objects:
            mover = Mover(
                *clients,
                replace=self.replace,
                etags=self.etags or {},
                parts=parts,
                extra_args=extra_args,
                keep_protection=self.keep_protection,
                ended=lambda: self._killed,
            )
            futures = [objects.submit(move_one, move) for move in moves]
            try:
                # Anything but a key's own failure, such as Airflow ending the task, stops the others too.
                wait(futures, return_when=FIRST_EXCEPTION)
                outcomes = [future.result() for future in futures]
            except BaseException:
                objects.shutdown(wait=False, cancel_futures=True)
                raise
        results = [outcome for outcome in outcomes if isinstance(outcome, dict)]
        pairs = zip(moves, outcomes, strict=True)
        return results, [(move, outcome) for move, outcome in pairs if isinstance(outcome, Exception)]


def _check_extra_args(extra_args: Any) -> None:
    # An XCom, or a template, is looked at when the task runs.
    if isinstance(extra_args, Mapping) and (
        unknown := [name for name in extra_args if name not in EXTRA_ARGS]
    ):
        raise StorageError(
            f"extra_args has {shown(unknown)}, which the copies can't get: write {', '.join(EXTRA_ARGS)}"
        )


def _failure(failures: list[tuple[Move, Exception]], total: int) -> Exception:
    keys_by_reason: dict[str, list[str]] = {}
    for move, error in failures:
        keys_by_reason.setdefault(str(error).rstrip("."), []).append(move.source_key)
    left, reasons = _MAX_NAMED, []
    for reason, keys in keys_by_reason.items():
        reasons.append(f"{reason}: {_named(keys, left)}")
        left = max(0, left - len(keys))
    message = (
        f"{len(failures)} of {total} keys were not moved, the other {total - len(failures)} were. "
        f"{'. '.join(reasons)}. The task can be run again with the same keys: it goes on where it stopped."
    )
    again_in_vain = all(isinstance(error, StorageError) for _, error in failures)
    return StorageError(message) if again_in_vain else AirflowException(message)


def _named(keys: list[str], most: int = _MAX_NAMED) -> str:
    named = ", ".join(map(shown, keys[:most]))
    if len(keys) <= most:
        return named
    return f"{named} and {len(keys) - most:,} more" if named else f"{len(keys):,} keys"
