"""What counts as protection, of objects that a server can't be brought to hold."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone

from airflow_mapping_kit.operators.s3.contents import StoredObject
from airflow_mapping_kit.operators.s3.protection import Protection, is_locked

NOW = datetime.now(timezone.utc)
OURS = {"ID": "us", "Type": "CanonicalUser"}


def stored(client=None, **head):
    return StoredObject("lake", "key", 5, "0" * 32, None, head, client)


def retained(days, mode="GOVERNANCE"):
    return {"ObjectLockMode": mode, "ObjectLockRetainUntilDate": NOW + timedelta(days=days)}


class Acl:
    """A client that knows one ACL."""

    def __init__(self, *grants, owner="us"):
        self.grants = grants
        self.owner = owner

    def get_object_acl(self, **_):
        grants = [{"Permission": permission, "Grantee": grantee} for permission, grantee in self.grants]
        return {"Owner": {"ID": self.owner}, "Grants": grants}


def test_a_retention_that_is_over_is_no_protection():
    source = stored(**retained(-1, "COMPLIANCE"))

    assert not is_locked(source)
    assert Protection(source, {"ACL": "private"}).arguments == {}


def test_a_longer_and_a_stronger_retention_will_do_and_a_shorter_or_weaker_one_not():
    wanted = Protection(stored(**retained(7, "GOVERNANCE")), {"ACL": "private"})
    strong = Protection(stored(**retained(7, "COMPLIANCE")), {"ACL": "private"})

    assert wanted.missing(stored(**retained(7))) == ""
    assert wanted.missing(stored(**retained(8, "COMPLIANCE"))) == ""
    assert wanted.missing(stored(**retained(6))).startswith("the retention until")
    assert wanted.missing(stored()).startswith("the retention until")
    assert strong.missing(stored(**retained(8))).startswith("the retention until")


def test_every_grant_becomes_an_argument_of_the_copy():
    group = {"Type": "Group", "URI": "http://acs.amazonaws.com/groups/s3/LogDelivery"}
    other = {"Type": "CanonicalUser", "ID": "them"}
    client = Acl(
        ("FULL_CONTROL", OURS), ("READ", group), ("READ", other), ("READ_ACP", other), ("WRITE", group)
    )

    assert Protection(stored(client), {}).arguments == {
        "GrantFullControl": 'id="us"',
        "GrantRead": 'uri="http://acs.amazonaws.com/groups/s3/LogDelivery", id="them"',
        "GrantReadACP": 'id="them"',
    }


def test_the_owner_alone_is_no_acl_to_keep():
    assert Protection(stored(Acl(("FULL_CONTROL", OURS))), {}).arguments == {}


def test_what_is_told_is_neither_asked_nor_wanted():
    source = stored(
        ServerSideEncryption="aws:kms", SSEKMSKeyId="ours", **retained(1), ObjectLockLegalHoldStatus="ON"
    )
    told = {"ACL": "private", "ServerSideEncryption": "AES256", "ObjectLockLegalHoldStatus": "OFF"}

    kept = Protection(source, told)

    assert kept.arguments == retained(1)
    assert kept.missing(stored(**retained(1))) == ""


def test_an_object_of_another_account_becomes_ours_and_stays_theirs_to_read():
    them = {"Type": "CanonicalUser", "ID": "them"}
    readers = {"Type": "CanonicalUser", "ID": "readers"}
    client = Acl(("FULL_CONTROL", them), ("FULL_CONTROL", OURS), owner="them")
    kept = Protection(stored(client), {})
    assert kept.arguments == {"GrantFullControl": 'id="them", id="us"'}

    client.owner = "us"
    assert kept.missing(stored(client), fresh=True) == ""
    client.grants = (*client.grants, ("READ", readers))
    assert kept.missing(stored(client), fresh=True) == "the ACL"
