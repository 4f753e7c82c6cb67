"""What goes wrong on Airflow 2 outside of any view: it reads the session first, and its own error page reads it too."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy.exc import SQLAlchemyError

from airflow_mapping_kit.ui.answers import refusal

if TYPE_CHECKING:
    from collections.abc import Iterable

    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment


class Outside:
    """Airflow's application, which says in JSON that the database is gone where the page asks.

    :param app: the application as it is.
    :param path: what the addresses of the page's data have in them.
    """

    def __init__(self, app: WSGIApplication, path: str) -> None:
        self._app, self._path = app, path

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        """Answer a request."""
        try:
            return self._app(environ, start_response)
        except Exception as error:
            lost = _lost(error)
            if lost is None or self._path not in environ.get("PATH_INFO", ""):
                raise
        answer = refusal(lost)
        headers = [("Content-Type", "application/json"), ("Cache-Control", "no-store")]
        start_response("503 Service Unavailable", headers)
        return [answer.body]


def _lost(error: BaseException | None) -> SQLAlchemyError | None:
    """Return the error of the database that an error comes from."""
    while error is not None and not isinstance(error, SQLAlchemyError):
        error = error.__context__
    return error
