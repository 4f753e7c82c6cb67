"""What a selection means in a matrix: which cells, or where it can't be read."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airflow_mapping_kit.exceptions import SelectionError
from airflow_mapping_kit.history.selected import selected as selected_of
from airflow_mapping_kit.partitions.selection import Selection
from airflow_mapping_kit.printable import one_line
from airflow_mapping_kit.ui.matrix import ranges
from airflow_mapping_kit.ui.refused import Refused

if TYPE_CHECKING:
    from airflow_mapping_kit.history import History

_NO_CELL = ord(".")


def selected(found: History, text: str | None) -> dict[str, Any] | None:
    """Return which cells a selection has, for who is still writing it.

    :return: `{"text", "cells": [[first, last], ...]}`, `{"text", "error", "position"}` where it can't be read, `None`
        where there is none.
    """
    if text is None:
        return None
    try:
        return {"text": text, "cells": ranges(cells_of(found, text))}
    except SelectionError as error:
        return {"text": text, "error": one_line(error), "position": error.position}


def chosen(found: History, text: str) -> list[int]:
    """Return the cells of a selection that is acted on.

    :raises Refused: 400, if it can't be read.
    """
    try:
        return cells_of(found, text)
    except SelectionError as error:
        raise Refused(400, one_line(error), position=error.position) from error


def cells_of(found: History, text: str) -> list[int]:
    """Return the cells of the partitions that a selection has.

    :raises SelectionError: if it can't be read, or is about a dimension that isn't there.
    """
    cells = selected_of(found.dimensions, Selection.parse(text))
    return [cell for cell in cells if found.letters[cell] != _NO_CELL]
