"""A batch by reference: where its items are stored, and which items of the plan they are."""

from __future__ import annotations

from typing import Any, NamedTuple

MARK = "mapping_kit_items"
# What a slice of chunks among the XComs of a task says of where it is, before the id of the task.
XCOMS = "xcom:"


class Slice(NamedTuple):
    """A batch of which XComs hold only its place.

    As JSON, `{"mapping_kit_items": ["s3://aws@lake/.../plan-1f3e.jsonl", 0, 4096, 0, 100, 250, ["a", "m"]]}`: the
    first 100 of 250 items, of which the first is `"a"` and the last `"m"`.

    :param where: the URI of a file of JSON Lines, or `xcom:<task id>/<plan>`.
    :param start: where it begins: a byte of the file, or the number of the chunk that its first item is in.
    :param end: where it ends: the byte after it, or the number of the chunk after that of its last item.
    :param first: the number of its first item in the plan, from 0.
    :param count: how many items it has.
    :param total: how many items the plan has.
    :param ends: its first and its last item, `None` for one that is too long for a label; nothing of an empty batch.
    """

    where: str
    start: int
    end: int
    first: int
    count: int  # type: ignore[assignment]  # a tuple has a method of that name
    total: int
    ends: list[Any]

    @classmethod
    def of(cls, value: Any) -> Slice | None:
        """Return a mapped argument as a slice, `None` if it is anything else."""
        if not isinstance(value, dict) or len(value) != 1 or not isinstance(value.get(MARK), list | tuple):
            return None
        parts = value[MARK]
        return cls(*parts) if len(parts) == len(cls._fields) else None

    def as_json(self) -> dict[str, Any]:
        """Return it as it goes through an XCom. Airflow 2 and 3 would store a bare tuple differently."""
        return {MARK: list(self)}
