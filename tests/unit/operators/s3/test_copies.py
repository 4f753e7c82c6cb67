"""In which parts an object is copied, of what servers say that aren't at hand."""

from __future__ import annotations

import pytest

from airflow_mapping_kit.operators.s3.contents import StoredObject
from airflow_mapping_kit.operators.s3.copies import _part_bytes

MIB, GIB = 1024**2, 1024**3
MD5 = "0" * 32


class Server:
    """A client of a server that tells of an object's first part what it was given."""

    def __init__(self, size, count=None):
        self.answer = {"ContentLength": size, **({"PartsCount": count} if count else {})}

    def head_object(self, **_):
        return self.answer


def part_bytes(size, etag, *, told=None, streamed=False):
    client = Server(*told) if told else Server(size)
    return _part_bytes(StoredObject("lake", "key", size, etag, None, {}, client), streamed)


@pytest.mark.parametrize(
    ("size", "etag", "told", "inside", "streamed"),
    [
        (16 * MIB, MD5, None, None, None),
        (16 * MIB + 1, MD5, None, None, 16 * MIB),
        (5 * GIB, MD5, None, None, 16 * MIB),
        # Told: the same parts, so that the ETag is the same, as long as they fit into memory.
        (12 * MIB, f"{MD5}-3", (5 * MIB, 3), 5 * MIB, 5 * MIB),
        (300 * MIB, f"{MD5}-3", (100 * MIB, 3), 100 * MIB, 16 * MIB),
        (12 * MIB, f"{MD5}-3", (7 * MIB, 3), None, 5 * MIB),
        # Not told: what programs would have chosen, where there have to be parts.
        (20 * MIB, f"{MD5}-3", None, None, 7 * MIB),
        (6 * GIB, f"{MD5}-96", None, 64 * MIB, 64 * MIB),
        (6 * GIB + 1, f"{MD5}-769", None, 8 * MIB, 8 * MIB),
        (7, f"{MD5}-1", None, None, 5 * MIB),
        # Of 10,000 parts at most.
        (5000 * GIB, f"{MD5}-x", None, 536870912, 536870912),
        (6 * GIB, f"{MD5}-10000", None, 512 * MIB, 16 * MIB),
    ],
)
def test_parts_are_those_of_the_source_where_that_can_be(size, etag, told, inside, streamed):
    assert part_bytes(size, etag, told=told) == inside
    assert part_bytes(size, etag, told=told, streamed=True) == streamed
