"""What failed: an exception as text that can be kept and shown, and failed pieces as an error says them."""

from __future__ import annotations

import re
import traceback
from collections import Counter
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import unquote, unquote_plus

from airflow_mapping_kit.exceptions import PartitionError
from airflow_mapping_kit.partitions.keys import components
from airflow_mapping_kit.printable import lines, one_line

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
    from types import TracebackType

    from airflow_mapping_kit.results import Error, ItemResult, Result

MAX_MESSAGE_BYTES = 2048
MAX_KEYS = 20
# What errors count as that nobody told apart.
OTHERS = "other errors"
_MAX_ERRORS = 5
_MAX_VALUES = 3
_MAX_MESSAGE = 200
_MAX_TYPE = 200
# So many errors, and so many values of a dimension, are told apart.
_MOST = 1000
# Of a group of exceptions so many are said, and of groups in groups so many levels.
_MAX_GROUPED = 5
_MAX_DEPTH = 3
# The last so many calls of a traceback are logged: one of a recursion has thousands.
_MAX_FRAMES = 100
# By what equal keys are told apart.
_NUMBER = re.compile(r"#\d+\Z")
_WORD = re.compile(r"\S+")
# How `repr` and JSON write a character.
_ESCAPED = re.compile(r"\\(?:x([0-9a-fA-F]{2})|u([0-9a-fA-F]{4})|U([0-9a-fA-F]{8})|(.))", re.DOTALL)
_LETTERS = {"n": "\n", "t": "\t", "r": "\r", "b": "\b", "f": "\f"}
_NOT_MASKED = "not kept, for its secrets could not be masked"


def error_of(error: object, redact: Callable[[str], str]) -> Error:
    """Return an exception as plain text that is safe to keep: in JSON, in any database, on any page.

    `ValueError("no such item")` gives `{"type": "ValueError", "message": "no such item"}`. Of a group its first
    exceptions follow, a line each; of an exception without text its cause. Never raises, whatever the
    exception does when it is printed.

    :param error: what was raised; what somebody else made of it, such as a text, has no type.
    :param redact: replaces the secrets that this process knows of.
    :return: at most 2 kB of message, with `redact` applied before it is cut: half a secret would be left
        otherwise. Control characters other than line ends are escaped.
    """
    if not isinstance(error, BaseException):
        return {"type": None, "message": _cut(_safe(_text_of(error), redact))}
    try:
        text = "\n".join(_said(error))
    except Exception:  # noqa: BLE001 -- what it holds besides its text is no better
        text = _text_of(error)
    return {"type": _type_of(error), "message": _cut(_safe(text, redact))}


def traceback_of(error: BaseException, redact: Callable[[str], str], *, since: TracebackType | None) -> str:
    """Return the traceback of an exception as text for a log: without secrets, no line at the margin.

    A line of a message that began there could pass for a line of the log. To be logged as text, never beside the
    exception itself: a handler would print that once more.

    :param redact: replaces the secrets that this process knows of.
    :param since: from where on; `error.__traceback__` for all of it.
    """
    try:
        text = "".join(traceback.format_exception(type(error), error, since, limit=-_MAX_FRAMES))
    except Exception:  # noqa: BLE001 -- exceptions that can't be printed, in groups or as causes
        text = f"{_type_of(error)}: {_text_of(error)}"
    return "\n".join(f"  {line}" for line in _safe(text, redact).rstrip("\n").split("\n"))


def _said(error: BaseException, depth: int = 1) -> Iterator[str]:
    text = _text_of(error)
    yield text
    if depth == _MAX_DEPTH:
        return
    # Not `isinstance`: Python 3.10 has no groups of its own, and the package that brings them is not ours.
    grouped = getattr(error, "exceptions", None)
    if isinstance(grouped, tuple | list):
        mark, parts = "- ", [one for one in grouped if isinstance(one, BaseException)]
    else:
        mark, parts = "caused by ", [] if text.strip() or error.__cause__ is None else [error.__cause__]
    indent = "  " * (depth - 1)
    for part in parts[:_MAX_GROUPED]:
        first, *others = _said(part, depth + 1)
        yield f"{indent}{mark}{_type_of(part)}: {first}"
        yield from others
    if len(parts) > _MAX_GROUPED:
        yield f"{indent}and {len(parts) - _MAX_GROUPED:,} more"


def _text_of(error: object) -> str:
    try:
        return str(error)
    except BaseException as fault:
        # A signal that came just now is none of the exception's doing; none makes a process exit in this way.
        if not isinstance(fault, Exception | SystemExit) and fault is not error:
            raise
        why = type(fault).__name__
    try:
        # What it was made of says as much as its text would have.
        return f"{BaseException.__repr__(error)} (its text can't be had: {why})"
    except Exception:  # noqa: BLE001 -- its arguments can't be printed either
        return f"(its text can't be had: {why})"


def _type_of(error: object) -> str:
    # Not through the class of the class, which may have a name of its own.
    return one_line(vars(type)["__name__"].__get__(type(error)))[:_MAX_TYPE]


def _safe(text: str, redact: Callable[[str], str]) -> str:
    # First what would stop the masking, then the rest: a secret itself may hold line ends and control characters.
    plain = str.encode(text, errors="backslashreplace").decode()
    try:
        plain = _unescaped(redact(plain), redact)
        return lines(_WORD.sub(lambda word: _unquoted(word[0], redact), plain))
    except Exception as fault:  # noqa: BLE001 -- rather no text than a secret
        return f"{_NOT_MASKED} ({_type_of(fault)})"


def _unescaped(text: str, redact: Callable[[str], str]) -> str:
    """Return a text, that may be a `repr` or JSON, without secrets that stand in it with escapes."""
    if "\\" not in text:
        return text
    # In JSON two of them are one character.
    plain = _ESCAPED.sub(_character, text).encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    masked = redact(plain)
    return text if masked == plain else masked


def _character(found: re.Match[str]) -> str:
    digits = found[1] or found[2] or found[3]
    try:
        return chr(int(digits, 16)) if digits else _LETTERS.get(found[4], found[4])
    except ValueError:  # there is no such character
        return found[0]


def _unquoted(word: str, redact: Callable[[str], str]) -> str:
    """Return a word, that may be an address with a password, without secrets that stand in it percent-encoded."""
    for read in (unquote, unquote_plus) if "%" in word or "+" in word else ():
        plain = read(word)
        masked = redact(plain)
        if masked != plain:
            return masked
    return word


def _cut(text: str) -> str:
    encoded = text.encode()
    if len(encoded) <= MAX_MESSAGE_BYTES:
        return text
    return encoded[: MAX_MESSAGE_BYTES - len("…".encode())].decode(errors="ignore") + "…"


class Group(NamedTuple):
    """The pieces that one error stopped.

    :param number: how many they are.
    :param error: the error, in one line.
    :param shared: what several of their keys have in common, `date: 2013-01-01 2`, or nothing.
    :param keys: the keys of the first.
    """

    number: int
    error: str
    shared: str
    keys: list[str]


class Grouped(NamedTuple):
    """Failed pieces by error.

    :param groups: the commonest error first, with 20 keys in all.
    :param others: how many were stopped by errors that nobody told apart.
    :param unnamed: how many are named nowhere in it.
    """

    groups: list[Group]
    others: int
    unnamed: int


def grouped(failed: Iterable[Result | ItemResult]) -> Grouped:
    """Return failed pieces by error.

    It takes as much memory of a million as of a thousand: of more errors than that only how many there are is said,
    and a dimension with more values has nothing in common.
    """
    groups: dict[str, _Group] = {}
    number = 0
    for result in failed:
        number += 1
        error = reason(result)
        group = groups.get(error)
        if group is None:
            if len(groups) == _MOST:
                continue
            group = groups[error] = _Group()
        group.add(result["key"])
    told, left = [], MAX_KEYS
    for error, group in sorted(groups.items(), key=lambda one: -one[1].number):
        told.append(Group(group.number, error, group.shared(), group.keys[:left]))
        left -= len(told[-1].keys)
    return Grouped(told, number - sum(one.number for one in told), number - (MAX_KEYS - left))


def described(failed: Iterable[Result | ItemResult]) -> str:
    """Return the failed pieces, grouped by error: a line an error, then its keys, 20 keys in all.

    Two flights of a day that failed with one error give::

        2 × ValueError: no such file (date: 2013-01-01 2)
          date=2013-01-01/origin=EWR
          date=2013-01-01/origin=JFK
    """
    found = grouped(failed)
    text = []
    for group in found.groups:
        text.append(
            f"{group.number:,} × {group.error}" + (f" ({one_line(group.shared)})" if group.shared else "")
        )
        text += [f"  {one_line(key)}" for key in group.keys]
    if found.others:
        text.append(f"{found.others:,} × {OTHERS}")
    if found.unnamed:
        text.append(f"and {found.unnamed:,} more")
    return "\n".join(text)


class _Group:
    """The pieces that one error stopped: how many, the first of them, and what several have in common."""

    def __init__(self) -> None:
        self.number = 0
        self.keys: list[str] = []
        self._values: dict[str, Counter[str]] | None = {}
        self._various: set[str] = set()

    def add(self, key: str) -> None:
        self.number += 1
        if len(self.keys) < MAX_KEYS:
            self.keys.append(key)
        if self._values is None:
            return
        try:
            partition = components(_NUMBER.sub("", key))
        except PartitionError:
            self._values = None
            return
        for name, value in partition.items():
            if name in self._various:
                continue
            counter = self._values.setdefault(name, Counter())
            counter[str(value)] += 1
            if len(counter) > _MOST:
                self._various.add(name)
                del self._values[name]

    def shared(self) -> str:
        """Return what several of the keys have in common: the dimensions in which a value occurs more than once."""
        return "; ".join(
            f"{name}: {_spread(counter)}"
            for name, counter in (self._values or {}).items()
            if max(counter.values()) > 1
        )


def summed(errors: Counter[str], keys: Sequence[str], named: int) -> str:
    """Return failed pieces of which there are too many to look at each: the commonest errors, then some keys.

    10,000 of a million give::

        7,000 × TypeError: unsupported operand
        3,000 × TimeoutError
        of them
          id=17
          id=99
        and 9,998 more

    :param errors: how many each error stopped, as text.
    :param keys: the keys of the first.
    :param named: for how many those stand.
    """
    shown = [(text, number) for text, number in errors.most_common(_MAX_ERRORS + 1) if text != OTHERS]
    shown = shown[:_MAX_ERRORS]
    others = errors.total() - sum(number for _, number in shown)
    text = [
        f"{number:,} × {one_line(error)}"
        for error, number in [*shown, *([(OTHERS, others)] if others else [])]
    ]
    text += ["of them", *(f"  {one_line(key)}" for key in keys)]
    if errors.total() > named:
        text.append(f"and {errors.total() - named:,} more")
    return "\n".join(text)


def reason(result: Result | ItemResult | Mapping[str, Any]) -> str:
    """Return what stopped a piece in one line: its error, or the state that it is in without one."""
    if result["error"] is None:
        return result["state"].replace("_", " ")
    return said(result["error"], _MAX_MESSAGE)


def said(error: Error, length: int | None = None) -> str:
    """Return an error in one line: its type, and the first line of its message.

    :param length: of how many characters of the message. Default: all of them.
    """
    first = lines(error["message"]).strip().partition("\n")[0]
    message = first if length is None or len(first) <= length else f"{first[:length]}…"
    return one_line(": ".join(part for part in (error["type"], message) if part))


def _spread(counter: Counter[str]) -> str:
    shown = ", ".join(f"{value} {count:,}" for value, count in counter.most_common(_MAX_VALUES))
    rest = len(counter) - _MAX_VALUES
    return f"{shown} and {rest:,} other values" if rest > 0 else shown
