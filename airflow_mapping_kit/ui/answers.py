"""An answer as bytes, whatever was asked, and whatever went wrong."""

from __future__ import annotations

import hashlib
import json
import logging
from typing import TYPE_CHECKING, Any, NamedTuple

from sqlalchemy.exc import SQLAlchemyError

from airflow_mapping_kit.compat import redacted
from airflow_mapping_kit.exceptions import MappingKitError
from airflow_mapping_kit.failures import traceback_of
from airflow_mapping_kit.printable import one_line
from airflow_mapping_kit.ui.refused import Refused

if TYPE_CHECKING:
    from collections.abc import Callable

log = logging.getLogger(__name__)

# Differs from one look to the next though nothing has changed.
_OF_THE_LOOK = ("queries", "ms")


class Answer(NamedTuple):
    """What a request is answered with.

    :param stamp: the `ETag`, quoted; `None` where the answer is not to be asked for again.
    """

    status: int
    body: bytes
    stamp: str | None = None


def seen(ask: Callable[[], dict[str, Any]], known: str | None) -> Answer:
    """Return what a look finds, with a mark by which it is asked again, or why there is nothing to see.

    :param known: the `If-None-Match` of who looks again: where nothing has changed the answer is an empty 304.
    """
    try:
        found = ask()
    except Exception as error:  # noqa: BLE001 -- the page understands JSON only, and keeps what it shows
        return refusal(error)
    lasting = {name: value for name, value in found.items() if name not in _OF_THE_LOOK}
    stamp = hashlib.sha256(_json(lasting)).hexdigest()[:24]
    etag = f'"{stamp}"'
    # What packs an answer on its way may have made the mark a weak one.
    if known is not None and etag in [one.strip().removeprefix("W/") for one in known.split(",")]:
        return Answer(304, b"", etag)
    return Answer(200, _json({**found, "stamp": stamp}), etag)


def done(act: Callable[[], dict[str, Any]]) -> Answer:
    """Return what an action says that it has done, or would do, or why it doesn't."""
    try:
        return Answer(200, _json(act()))
    except Exception as error:  # noqa: BLE001 -- so too
        return refusal(error)


def refusal(error: Exception) -> Answer:
    """Return an error as an answer: what the page can say of it, and nothing that Airflow keeps to itself."""
    if isinstance(error, Refused):
        return Answer(error.status, _json(error.body))
    if isinstance(error, SQLAlchemyError):
        log.warning("The metadata database does not answer: %s", one_line(redacted(str(error))))
        return Answer(503, _json({"error": DATABASE_GONE}))
    if isinstance(error, MappingKitError):
        return Answer(400, _json({"error": one_line(error)}))
    log.error(
        "The page Partitions can't be answered.\n%s",
        traceback_of(error, redacted, since=error.__traceback__),
    )
    return Answer(500, _json({"error": f"{type(error).__name__}: the log of the web server says more."}))


DATABASE_GONE = (
    "Airflow's metadata database does not answer. What is shown is what was known before; look again."
)


def _json(value: Any) -> bytes:
    # In ASCII, so that half a surrogate pair in somebody's key is no error.
    return json.dumps(value, separators=(",", ":"), default=str).encode()
