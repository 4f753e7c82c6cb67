"""Lines of text, with a limit of length. An error names the number of the line."""

from __future__ import annotations

import codecs
import io
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Any, BinaryIO, cast

from airflow_mapping_kit.exceptions import SourceError
from airflow_mapping_kit.partitions.sequences import shown

if TYPE_CHECKING:
    from collections.abc import Iterator

# A row goes into a plan, which is read by instances; and a file without line ends must not fill the memory.
LONGEST = 1 << 20
TOO_LONG = (
    f"is longer than {LONGEST:,} characters: pass a reference (a key, a path) to large data, not the data"
)
_OTHER = {codecs.BOM_UTF16_LE: "utf-16", codecs.BOM_UTF16_BE: "utf-16"}


def checked_encoding(encoding: str) -> str:
    """Return the name of an encoding. UTF-8 may begin with the byte order mark that Excel and Windows write.

    :raises SourceError: if Python doesn't know it
    """
    try:
        name = codecs.lookup(encoding).name
        "".encode(name)  # `hex` is a codec too, but no text
    except (LookupError, TypeError):
        raise SourceError(
            f"encoding={shown(encoding)} is unknown: write one such as 'utf-8', 'cp1252' or 'utf-16'."
        ) from None
    return "utf-8-sig" if name == "utf-8" else name


def lines_of(content: BinaryIO, encoding: str, name: str) -> Iterator[str]:
    r"""Yield the lines of a file with their ends, as they are read. `\n`, `\r\n` and `\r` end a line.

    :param encoding: from `checked_encoding`
    :param name: the name of the file in errors
    :raises SourceError: if a line has another encoding, contains NUL, or has more than 1,048,576 characters
    """
    raw = io.BufferedReader(cast("Any", content), 1 << 16) if not hasattr(content, "peek") else content
    if encoding == "utf-8-sig":
        begins = cast("io.BufferedReader", raw).peek(2)[:2]
        if begins in _OTHER:
            raise SourceError(f'{name} is UTF-16, not UTF-8: set encoding="{_OTHER[begins]}".')
    text = io.TextIOWrapper(cast("Any", raw), encoding, newline="")
    number = 0
    try:
        for line in iter(partial(text.readline, LONGEST + 1), ""):
            number += 1
            if len(line) > LONGEST:
                raise SourceError(f"{name}, line {number:,}, {TOO_LONG}.")
            if "\0" in line:
                raise SourceError(
                    f"{name}, line {number:,}, contains the character NUL: it is not text, or has another encoding, "
                    'such as encoding="utf-16-le".'
                )
            yield line
    except UnicodeDecodeError as error:
        # The decoder gets a block at a time, and no whole line of it has been given yet.
        before = error.object[: error.start].decode(encoding, errors="ignore")
        wrong = " ".join(f"0x{byte:02X}" for byte in error.object[error.start : error.end][:4])
        raise SourceError(
            f"{name}, line {number + 1 + _ends(before):,}, is not {error.encoding.upper()}: {wrong} after "
            f"{shown(before[-24:])}. Write the whole file in one encoding, or name its encoding, e.g. "
            'encoding="cp1252".'
        ) from error
    finally:
        # Who has opened it is to close it, and may have done so by now.
        with suppress(ValueError):
            text.detach()


def _ends(text: str) -> int:
    return len(text.splitlines()) - (not text.endswith(("\n", "\r"))) if text else 0
