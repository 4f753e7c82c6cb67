"""When two objects are the same without reading them: by what S3 says of them."""

from __future__ import annotations

import pytest

from airflow_mapping_kit.operators.s3.contents import StoredObject, same_content

MD5, OTHER_MD5 = "0" * 32, "1" * 32


class Unread:
    """A client for comparisons that must not read an object."""

    def get_object(self, **_):
        raise AssertionError("the objects were read")


def stored(etag, size=5, **head):
    return StoredObject("lake", "key", size, etag, None, head, Unread())


def test_size_and_etag_decide_where_both_etags_are_md5s():
    assert same_content(stored(MD5), stored(MD5))
    assert not same_content(stored(MD5), stored(OTHER_MD5))
    assert not same_content(stored(MD5), stored(MD5, size=6))


def test_a_checksum_of_the_whole_decides_where_etags_differ_in_kind():
    whole = {"ChecksumCRC64NVME": "abc=", "ChecksumType": "FULL_OBJECT"}
    assert same_content(stored(MD5, **whole), stored(f"{MD5}-2", **whole))
    assert not same_content(
        stored(MD5, **whole), stored(f"{MD5}-2", **{**whole, "ChecksumCRC64NVME": "xyz="})
    )


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (stored(f"{MD5}-2"), stored(f"{MD5}-3")),
        (stored(MD5), stored(f"{MD5}-2")),
        (stored(MD5, ServerSideEncryption="aws:kms"), stored(OTHER_MD5, ServerSideEncryption="aws:kms")),
        (
            stored(f"{MD5}-2", ChecksumSHA256="a=-2", ChecksumType="COMPOSITE"),
            stored(f"{MD5}-3", ChecksumSHA256="b=-3", ChecksumType="COMPOSITE"),
        ),
        (stored(MD5, ChecksumSHA256="a="), stored(f"{MD5}-2", ChecksumCRC32="b=")),
    ],
)
def test_what_says_nothing_of_the_whole_has_to_be_read(one, other):
    with pytest.raises(AssertionError, match="were read"):
        same_content(one, other)
