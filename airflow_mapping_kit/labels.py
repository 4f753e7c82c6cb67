"""What people see for a mapped instance instead of its number.

Pure: a label is made of a format and the arguments that the instance was mapped over. Where those
arguments come from is the business of `pieces`; the plugin brings the two together in a Jinja macro.
"""

from __future__ import annotations

import hashlib
import json
import logging
import re
import string
from collections import ChainMap
from typing import TYPE_CHECKING, Any, NamedTuple

from airflow_mapping_kit.exceptions import MappingKitError, PartitionError
from airflow_mapping_kit.partitions import piece_key
from airflow_mapping_kit.partitions.hidden import HIDDEN_NAMES, hide
from airflow_mapping_kit.printable import one_line

if TYPE_CHECKING:
    from collections.abc import Mapping, MutableMapping, Sequence

log = logging.getLogger(__name__)

# Airflow's column for it, `rendered_map_index`, holds 250 characters.
MAX_LABEL_LENGTH = 250

# A name, then any number of indexes: `{origin}`, `{order[customer][name]}`. No positions, no attributes.
_FIELD = re.compile(r"[^.\[\]\d][^.\[\]]*(\[[^\]]+\])*")
_ELLIPSIS = " … "
# Where the plugin is not loaded a number is better than an error: on Airflow 2.10 a template that
# raises fails a task whose work had succeeded.
_CALL = (
    "{%%%% if macros.mapping_kit is defined %%%%}{{ macros.mapping_kit.%s(%%s) }}"
    "{%%%% else %%%%}{{ ti.map_index }}{%%%% endif %%%%}"
)
MARK = "macros.mapping_kit.label"
_TEMPLATE = _CALL % "label"
_COMPOSED = _CALL % "composed"
_FORMAT = re.compile(r'macros\.mapping_kit\.label\(("(?:[^"\\]|\\.)*")\)')


class Batch(NamedTuple):
    """Which items an instance holds, of all that there are.

    :param first: the number of its first item, from 1.
    :param last: the number of its last.
    :param total: how many items the plan has.
    :param ends: key and mapped arguments of its first and of its last item; of a single one, once; none where they
        are too long. `None` for the arguments of one that is nothing but its key: what was before it failed.
    """

    first: int
    last: int
    total: int
    ends: tuple[tuple[str, Mapping[str, Any] | None], ...]


def label(text: str = "") -> str:
    """Return a Jinja string for `map_index_template` that names every mapped instance.

    A field in braces is looked up in the mapped partition first, then among the task's arguments. This works for
    every kind of mapping: TaskFlow or classic, `expand`, `expand_kwargs`, cross products, mapped groups.
    A batch shows its first and its last item. A label of more than 250 characters is cut and
    ends in a hash, and control characters are escaped. If Airflow hides a field by its name, such as
    `password`, the label shows a digest.

    :param text: the format, as of `str.format`, without attribute access. With no text, or where a
        field is missing, the label is the piece's key: `date=2013-01-01/origin=EWR`.
    :return: the template. Rendering it never raises. It can be part of a larger one, `"run " + label("{x}")`, but
        then the grid shows it only once the task runs: better write `label("run {x}")`.
    :raises PartitionError: if the format cannot be parsed.

    Example: `label("{origin} {date}")` shows `EWR 2013-01-01` for `{"origin": "EWR", "date": "2013-01-01"}`.
    """
    try:
        fields = [field for _, field, _, _ in string.Formatter().parse(text) if field is not None]
    except (TypeError, ValueError) as error:
        raise PartitionError(
            f"label({text!r}) is no format: {error}. Write fields in braces, and a brace itself doubled: {{{{."
        ) from error
    for field in fields:
        if not _FIELD.fullmatch(field):
            raise PartitionError(
                f"label({text!r}): the field {field!r} is not the name of a dimension or an argument. "
                f'Name one, e.g. label("{{origin}} {{date}}").'
            )
    # A JSON string is a Jinja string too, as long as what lies outside ASCII stays as it is.
    return _TEMPLATE % json.dumps(text, ensure_ascii=False)


def format_of(template: str | None) -> str | None:
    """Return the text that `label` made a template of, and `None` for anybody else's template.

    `format_of(label("{origin}"))` gives `{origin}`.
    """
    found = _FORMAT.search(template or "")
    if not found:
        return None
    text: str = json.loads(found[1])
    # A template that says more than a label is known only when it is rendered.
    return text if template == _TEMPLATE % found[1] else None


def composed(template: str) -> str | None:
    """Return a template that renders one which says more than a label to what `shown` makes of it.

    By itself it may say more than Airflow's column holds, and of a DAG that renders native objects it is taken for a
    literal where it looks like one: `label("{a}") + "," + label("{b}")` for a tuple.

    :return: the template; `None` for a label by itself, and for one that is composed already.
    """
    if format_of(template) is not None or _COMPOSED.partition("%s")[0] in template:
        return None
    return _COMPOSED % json.dumps(template, ensure_ascii=False)


def render(
    text: str,
    mapped: Mapping[str, Any],
    arguments: Mapping[str, Any],
    *,
    batch: Batch | None = None,
    key: str | None = None,
    final: bool = True,
    hidden: frozenset[str] = HIDDEN_NAMES,
) -> str:
    """Return the label of one instance.

    :param text: the format that `label` was given.
    :param mapped: the arguments that the instance was mapped over: `{argument: value}`.
    :param arguments: all the arguments of its task, by name.
    :param batch: which items the instance holds, if it counts them.
    :param key: the key of what is labelled, where it is not that of `mapped`.
    :param final: whether a field that is missing deserves a warning: before the task runs, not all of its
        arguments are known.
    :param hidden: the names that hide a field, in lower case.
    :return: at most 250 characters. Never raises.

    Example: `render("{origin}", {"partition": {"origin": "EWR"}}, {})` gives `EWR`.
    """
    if batch is None:
        text = _text(text, mapped, arguments, final=final, hidden=hidden) or key or _key(mapped, hidden)
        return shown(text)
    items = f"item {batch.first:,}" if batch.first == batch.last else f"items {batch.first:,}–{batch.last:,}"
    ends = (
        (None if item is None else _text(text, item, arguments, final=final, hidden=hidden)) or name
        for name, item in batch.ends
    )
    named = f": {_ELLIPSIS.join(ends)}" if batch.ends else ""
    return shown(f"{items} of {batch.total:,}{named}")


def _text(
    text: str,
    mapped: Mapping[str, Any],
    arguments: Mapping[str, Any],
    *,
    final: bool,
    hidden: frozenset[str],
) -> str | None:
    """Return the text with its fields filled in; `None` where there is none, or a field is missing."""
    if not text:
        return None
    try:
        return _formatted(text, hide(mapped, hidden), _Hiding(arguments, hidden))
    except Exception as error:  # noqa: BLE001 -- a format meets any value; its task must not fail for it
        known = sorted(map(str, {*arguments, *_fields(mapped)}))
        log.log(
            logging.WARNING if final else logging.DEBUG,
            "label(%r) cannot be shown: %s %s. The instance is labelled with its key. Known fields: %s",
            text,
            type(error).__name__,
            one_line(error),
            one_line(", ".join(known)),
        )
        return None


def _key(mapped: Mapping[str, Any], hidden: frozenset[str]) -> str:
    try:
        return piece_key(mapped, hidden=hidden)
    except MappingKitError:
        return repr(hide(dict(mapped), hidden))


class _Hiding(dict[str, Any]):
    """Arguments, each hidden when it is asked for: those of a task may be large, and a label names few of them."""

    def __init__(self, arguments: Mapping[str, Any], hidden: frozenset[str]) -> None:
        super().__init__(arguments)
        self._hidden = hidden

    def __getitem__(self, name: str) -> Any:
        return hide(super().__getitem__(name), self._hidden, name=name)


def _formatted(text: str, mapped: Mapping[str, Any], arguments: MutableMapping[str, Any]) -> str:
    batch = _batch(mapped)
    if batch is None:
        return text.format_map(ChainMap(_fields(mapped), arguments))
    ends = batch if len(batch) == 1 else (batch[0], batch[-1])
    return _ELLIPSIS.join(text.format_map(ChainMap(item, _fields(mapped), arguments)) for item in ends)


def _fields(mapped: Mapping[str, Any]) -> dict[str, Any]:
    """Return what a format may name: each mapped argument and, before it, each dimension of a partition."""
    fields = {name: _Keys(value) if isinstance(value, list) else value for name, value in mapped.items()}
    for value in mapped.values():
        only = value[0] if isinstance(value, list) and len(value) == 1 else value
        if isinstance(only, dict):
            fields.update(only)
    return fields


def _batch(mapped: Mapping[str, Any]) -> Sequence[dict[str, Any]] | None:
    """Return the items of the batch of partitions that the instance was mapped over, if it was."""
    for value in mapped.values():
        if isinstance(value, list) and value and all(isinstance(item, dict) for item in value):
            return value
    return None


class _Keys(list[Any]):
    """A list that shows its only element, or its first and its last: a batch of keys has no other name."""

    def __format__(self, spec: str) -> str:
        ends = [str(item) for item in (self if len(self) == 1 else self[:1] + self[-1:])]
        return format(_ELLIPSIS.join(ends), spec)


def shown(text: str) -> str:
    """Return a text as Airflow can keep and show it: one line of at most 250 characters, what is longer with a hash."""
    text = one_line(text)
    if len(text) <= MAX_LABEL_LENGTH:
        return text
    digest = hashlib.sha256(text.encode()).hexdigest()[:8]
    return f"{text[: MAX_LABEL_LENGTH - len(digest) - 1]}~{digest}"
