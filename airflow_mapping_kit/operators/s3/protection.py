"""What protects an object, and whether a copy has it: who may read it, its KMS key, its retention and legal hold."""

from __future__ import annotations

from collections import defaultdict
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any

from airflow_mapping_kit.exceptions import StorageError
from airflow_mapping_kit.partitions.sequences import shown
from airflow_mapping_kit.storage.buckets import error_code

if TYPE_CHECKING:
    from collections.abc import Mapping

    from airflow_mapping_kit.operators.s3.contents import StoredObject

# The arguments of a copy by what they protect. WRITE means nothing for an object.
_GRANTS = {
    "FULL_CONTROL": "GrantFullControl",
    "READ": "GrantRead",
    "READ_ACP": "GrantReadACP",
    "WRITE_ACP": "GrantWriteACP",
}
_KINDS = {
    "ACL": ("ACL", *_GRANTS.values()),
    "KMS key": ("ServerSideEncryption", "SSEKMSKeyId", "SSEKMSEncryptionContext", "BucketKeyEnabled"),
    "retention": ("ObjectLockMode", "ObjectLockRetainUntilDate"),
    "legal hold": ("ObjectLockLegalHoldStatus",),
}
EXTRA_ARGS = ("StorageClass", *(argument for arguments in _KINDS.values() for argument in arguments))
_KMS_KEY = ("ServerSideEncryption", "SSEKMSKeyId")
_NO_ACLS = {"NotImplemented", "MethodNotAllowed", "501", "405"}
_REFUSED = {"AccessDenied", "403"}


class Protection:
    """What protects one object, as the arguments of a copy.

    :param source: the object
    :param told: what the copy is to get instead, as arguments of a copy: of that, nothing is asked or compared
    """

    def __init__(self, source: StoredObject, told: Mapping[str, Any]) -> None:
        self._told = {kind for kind, arguments in _KINDS.items() if told.keys() & set(arguments)}
        head = source.head
        self.arguments: dict[str, Any] = {}
        self._acl: dict[str, Any] | None = None
        if "ACL" not in self._told:
            self._acl = _acl(source)
            if _others(self._acl):
                self.arguments |= _grant_arguments(self._acl)
        if "KMS key" not in self._told and str(head.get("ServerSideEncryption", "")).startswith("aws:"):
            self._keep(head, _KINDS["KMS key"])
        if "retention" not in self._told and _is_retained(head):
            self._keep(head, _KINDS["retention"])
        if "legal hold" not in self._told and head.get("ObjectLockLegalHoldStatus") == "ON":
            self._keep(head, _KINDS["legal hold"])

    def _keep(self, head: Mapping[str, Any], arguments: tuple[str, ...]) -> None:
        self.arguments |= {name: head[name] for name in arguments if head.get(name) is not None}

    def missing(self, copy: StoredObject, *, fresh: bool = False) -> str:
        """Return what the copy doesn't have of this, in words; nothing if it has all.

        :param fresh: whether it was made with the arguments: without grants among them it has none.
        """
        wanted, head, missing = self.arguments, copy.head, []
        if self._acl is not None and (_others(self._acl) or not fresh):
            has = _acl(copy)
            # The copy is of whoever makes it. Both owners have, or may give themselves, every right.
            owners = _owners(self._acl, has)
            missing += ["the ACL"] if _others(has, owners) != _others(self._acl, owners) else []
        if any(wanted.get(name) != head.get(name) for name in wanted.keys() & set(_KMS_KEY)):
            missing.append(f"the KMS key {shown(wanted.get('SSEKMSKeyId'))}")
        if "ObjectLockMode" in wanted and not _retains(head, wanted):
            missing.append(f"the retention until {wanted['ObjectLockRetainUntilDate']}")
        if "ObjectLockLegalHoldStatus" in wanted and head.get("ObjectLockLegalHoldStatus") != "ON":
            missing.append("the legal hold")
        return " and ".join(missing)


def is_locked(stored: StoredObject) -> bool:
    """Tell whether S3 refuses to delete this version."""
    return _is_retained(stored.head) or stored.head.get("ObjectLockLegalHoldStatus") == "ON"


def _is_retained(head: Mapping[str, Any]) -> bool:
    until = head.get("ObjectLockRetainUntilDate")
    return bool(head.get("ObjectLockMode")) and until is not None and until > datetime.now(timezone.utc)


def _retains(head: Mapping[str, Any], wanted: Mapping[str, Any]) -> bool:
    # COMPLIANCE is the stronger one.
    until = head.get("ObjectLockRetainUntilDate")
    strong = head.get("ObjectLockMode") in {wanted["ObjectLockMode"], "COMPLIANCE"}
    return strong and until is not None and until >= wanted["ObjectLockRetainUntilDate"]


def _acl(stored: StoredObject) -> dict[str, Any]:
    from botocore.exceptions import ClientError

    try:
        return dict(stored.client.get_object_acl(Bucket=stored.bucket, Key=stored.key, **stored.version))
    except ClientError as error:
        if error_code(error) in _NO_ACLS:
            return {}
        if error_code(error) not in _REFUSED:
            raise
        raise StorageError(
            "S3 refused to tell its ACL, which the copy would lose: let the connection's role GetObjectAcl, or say "
            'what the copies get, such as extra_args={"ACL": "bucket-owner-full-control"}, or keep_protection=False'
        ) from error


def _owners(*acls: Mapping[str, Any]) -> set[str | None]:
    return {acl.get("Owner", {}).get("ID") for acl in acls}


def _others(acl: Mapping[str, Any], owners: set[str | None] | None = None) -> set[tuple[str, str]]:
    """Return what others than the owner, or than these owners, may do, as `(permission, grantee)`."""
    owners = _owners(acl) if owners is None else owners
    return {
        (grant["Permission"], _grantee(grant))
        for grant in acl.get("Grants", ())
        if grant["Permission"] in _GRANTS and grant["Grantee"].get("ID", "") not in owners
    }


def _grant_arguments(acl: Mapping[str, Any]) -> dict[str, str]:
    by_argument = defaultdict(list)
    for grant in acl["Grants"]:
        if grant["Permission"] in _GRANTS:
            by_argument[_GRANTS[grant["Permission"]]].append(_grantee(grant))
    return {argument: ", ".join(grantees) for argument, grantees in by_argument.items()}


def _grantee(grant: Mapping[str, Any]) -> str:
    grantee = grant["Grantee"]
    return f'uri="{grantee["URI"]}"' if grantee.get("URI") else f'id="{grantee.get("ID", "")}"'
