"""What the page is refused, with the status of the answer."""

from __future__ import annotations

from typing import Any


class Refused(Exception):  # noqa: N818 -- it is an answer, no error of the kit's
    """An answer other than the one that was asked for.

    :param status: of HTTP: 400, 401, 403, 404, 409, 413 or 503.
    :param message: what was wrong and what to do, in words for the page's reader.
    :param more: what the answer has beside `error`.
    """

    def __init__(self, status: int, message: str, **more: Any) -> None:
        super().__init__(message)
        self.status = status
        self.body = {"error": message, **more}
