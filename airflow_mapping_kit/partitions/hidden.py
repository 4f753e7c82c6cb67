"""Fields that are hidden by their names, such as passwords and tokens: a digest stands for the value.

So a piece can be told from others, the same in every process, without showing what only its task is to know.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from datetime import date, time
from decimal import Decimal
from functools import lru_cache
from operator import is_
from typing import Any
from uuid import UUID

# What Airflow 3.3 hides by default, and with it all that earlier ones do: one plan has the same keys on each.
HIDDEN_NAMES = frozenset(
    {
        "access_key",
        "access_token",
        "api_key",
        "apikey",
        "auth_header",
        "authorization",
        "bearer",
        "connection_string",
        "dsn",
        "keyfile_dict",
        "passphrase",
        "passwd",
        "password",
        "private_key",
        "proxies",
        "proxy",
        "proxy_password",
        "secret",
        "service_account",
        "service_key",
        "token",
        "webhook_url",
    }
)
DIGEST_LENGTH = 12
# A `*` of a value itself is escaped wherever it stands in a key.
HIDDEN_VALUE = re.compile(r"\*[0-9a-f]{12}")
_SEPARATORS = re.compile(r"\W+")
_AS_THEY_ARE = frozenset({str, int, float, bool, type(None)})


class HiddenValue(str):
    """What stands for a hidden value: `*` and 12 hexadecimal digits of its SHA-256."""

    __slots__ = ()


@lru_cache(maxsize=4096)
def is_hidden(name: str, names: frozenset[str] = HIDDEN_NAMES) -> bool:
    """Tell whether a field is hidden: as in Airflow, if one of the names is a part of its own, in any case.

    `is_hidden("API-Key")` gives `True`.
    """
    plain = name.strip().lower()
    one_form = _SEPARATORS.sub("_", plain)
    return any(part in plain or part in one_form for part in names)


def hide(value: Any, names: frozenset[str] = HIDDEN_NAMES, *, name: Any = None) -> Any:
    """Return a value with digests in place of what hidden fields hold, at any depth of dicts and lists.

    As in Airflow numbers, booleans and `None` are shown whatever their name. What has nothing to hide is returned
    itself.

    :param names: what hides a field, in lower case.
    :param name: the name of the value itself.

    Example: `hide({"account": "a1", "password": "hunter2"})` gives `{"account": "a1", "password":
    "*f52fbd32b2b3"}`.
    """
    if isinstance(name, str) and is_hidden(name, names):
        return _all_hidden(value)
    if type(value) in _AS_THEY_ARE or isinstance(value, str):
        return value
    if isinstance(value, dict | Mapping):
        shown = {
            # Of what a plan holds most is this: it is looked at a million times.
            key: element
            if type(element) in _AS_THEY_ARE and type(key) is str and not is_hidden(key, names)
            else hide(element, names, name=key)
            for key, element in value.items()
        }
        return value if all(map(is_, shown.values(), value.values())) else shown
    if isinstance(value, list | tuple):
        elements = [hide(element, names) for element in value]
        return value if all(map(is_, elements, value)) else elements
    return value


def _all_hidden(value: Any) -> Any:
    if value is None or isinstance(value, bool | int | float | HiddenValue):
        return value
    if isinstance(value, Mapping):
        return {key: _all_hidden(element) for key, element in value.items()}
    if isinstance(value, list | tuple):
        return [_all_hidden(element) for element in value]
    plain = _plain(value)
    text = plain if isinstance(plain, str) else as_json(plain)
    return HiddenValue(text if HIDDEN_VALUE.fullmatch(text) else f"*{digest(text)}")


def digest(text: str) -> str:
    """Return 12 hexadecimal digits that stand for a text."""
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:DIGEST_LENGTH]


def as_json(value: Any) -> str:
    """Return a value as JSON text, equal ones as equal text in every process."""
    return json.dumps(_plain(value), sort_keys=True, separators=(",", ":"))


def _plain(value: Any) -> Any:
    if value is None or isinstance(value, str | int | float):
        return value
    if isinstance(value, Mapping):
        return {str(name): _plain(element) for name, element in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(element) for element in value]
    if isinstance(value, date | time):
        return value.isoformat()
    if isinstance(value, Decimal | UUID):
        return str(value)
    # The repr of anything else may hold an address or follow the hash seed: its type is all that is certain.
    return f"{type(value).__module__}.{type(value).__qualname__}"
