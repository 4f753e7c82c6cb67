"""Terms of every request to a bucket: who pays for it, and which account must own the bucket."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from airflow_mapping_kit.exceptions import StorageError
from airflow_mapping_kit.partitions.sequences import shown

if TYPE_CHECKING:
    from collections.abc import Mapping

_ACCOUNT = re.compile(r"[0-9]{12}")


def check_terms(*, requester_pays: Any = False, **owners: Any) -> None:
    """Check what is to be said.

    :param owners: accounts by the argument that names them; `None` for any
    :raises StorageError: if it can't be
    """
    if not isinstance(requester_pays, bool):
        raise StorageError(f"requester_pays is {shown(requester_pays)}: write True or False")
    for argument, owner in owners.items():
        if owner is not None and not (isinstance(owner, str) and _ACCOUNT.fullmatch(owner)):
            raise StorageError(
                f"{argument} is {shown(owner)}: write the twelve digits of an AWS account as text, '012345678901'"
            )


def say_terms(client: Any, *, requester_pays: bool = False, owners: Mapping[str, str | None]) -> None:
    """Let a client send the terms with each request that takes them.

    :param client: boto3's client for S3
    :param requester_pays: whether the connection's account pays for requests and transfers
    :param owners: the account that has to own a bucket, by its name. S3 refuses requests to one that isn't its
    """
    if not requester_pays and not any(owners.values()):
        return

    def add(params: dict[str, Any], model: Any, **_: Any) -> None:
        said = {
            "RequestPayer": "requester" if requester_pays else None,
            "ExpectedBucketOwner": owners.get(params.get("Bucket", "")),
            "ExpectedSourceBucketOwner": owners.get(_source(params.get("CopySource"))),
        }
        known = model.input_shape.members if model.input_shape else {}
        params.update({name: value for name, value in said.items() if value and name in known})

    client.meta.events.register("before-parameter-build.s3", add)


def _source(copy_source: Any) -> str:
    # botocore makes text of it: "bucket/key".
    return str(copy_source["Bucket"] if isinstance(copy_source, dict) else copy_source).partition("/")[0]
