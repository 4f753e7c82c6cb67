"""Airflow's stable REST API, for where there is no shell beside the database. Airflow 2.10."""

from __future__ import annotations

import ast
import os
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import click

from airflow_mapping_kit.cli.failures import Failure

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    import httpx

TOKEN, USER, PASSWORD = "MAPPING_KIT_API_TOKEN", "MAPPING_KIT_API_USER", "MAPPING_KIT_API_PASSWORD"
_PAGE = 100
_SECONDS = 60.0
_NOT_FOUND = 404

api_option: Callable[[Any], Any] = click.option(
    "--api",
    metavar="URL",
    help=f"Ask the REST API of the webserver at this address, not the database. Signs in by {TOKEN}, or {USER} "
    f"and {PASSWORD}, of the environment.",
)


class Api:
    """The API of one webserver.

    :param client: signed in, with the API's address.
    """

    def __init__(self, client: httpx.Client) -> None:
        self._client = client

    def get(self, path: str, **query: Any) -> dict[str, Any] | None:
        """Return the answer to a question, `None` where nothing is found."""
        return self._asked("GET", path, params=query)

    def post(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        """Return the answer to a request that changes something."""
        return self._asked("POST", path, json=body) or {}

    def all(self, path: str, name: str, **query: Any) -> list[dict[str, Any]]:
        """Return the entries of all pages of a list."""
        return list(self._pages(path, name, query))

    def _pages(self, path: str, name: str, query: dict[str, Any]) -> Iterator[dict[str, Any]]:
        offset, total = 0, 1
        while offset < total:
            answer = self.get(path, **query, limit=_PAGE, offset=offset) or {name: [], "total_entries": 0}
            if not answer[name]:
                return
            yield from answer[name]
            # A webserver may give smaller pages than it is asked for.
            offset, total = offset + len(answer[name]), answer["total_entries"]

    def xcom(self, dag_id: str, run_id: str, task_id: str, map_index: int, key: str) -> Any:
        """Return an XCom of an instance, `None` if it pushed none."""
        path = f"dags/{part(dag_id)}/dagRuns/{part(run_id)}/taskInstances/{part(task_id)}/xcomEntries/{part(key)}"
        found = self.get(path, map_index=map_index, stringify="false")
        value = None if found is None else found.get("value")
        if not isinstance(value, str):
            return value
        try:
            # A deployment that pickles XComs tells of them as Python writes them.
            return ast.literal_eval(value)
        except (SyntaxError, ValueError):
            return value

    def _asked(self, method: str, path: str, **request: Any) -> dict[str, Any] | None:
        import httpx

        try:
            answer = self._client.request(method, path, **request)
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise Failure(
                f"{self._client.base_url} can't be reached: {error or type(error).__name__}."
            ) from None
        if answer.status_code == _NOT_FOUND:
            return None
        if answer.is_success and answer.headers.get("content-type", "").startswith("application/json"):
            found: dict[str, Any] = answer.json()
            return found
        raise Failure(_refused(answer))


def reached(url: str) -> Api:
    """Return the API of a webserver, signed in as the environment says."""
    import httpx

    base = url.rstrip("/").removesuffix("/api/v1")
    if not base.startswith(("http://", "https://")):
        raise Failure(f"--api {url!r} is no address: write http:// or https:// and the webserver's name.")
    if "@" in base.partition("://")[2].partition("/")[0]:
        raise Failure(
            f"--api has a password in it, which `ps` shows to all: put it into {USER} and {PASSWORD}."
        )
    token, user, password = (os.environ.get(name) for name in (TOKEN, USER, PASSWORD))
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    auth = (user, password or "") if user and not token else None
    return Api(httpx.Client(base_url=f"{base}/api/v1/", headers=headers, auth=auth, timeout=_SECONDS))


def part(name: str) -> str:
    """Return a name as one part of a path."""
    return quote(name, safe="")


def _refused(answer: httpx.Response) -> str:
    if answer.status_code in (401, 403):
        return (
            f"{answer.url.host} refuses ({answer.status_code}): sign in with {TOKEN}, or with {USER} and {PASSWORD}. "
            f"For a password Airflow needs "
            f"airflow.providers.fab.auth_manager.api.auth.backend.basic_auth among [api] auth_backends."
        )
    try:
        said = answer.json().get("detail") or answer.reason_phrase
    except ValueError:
        return (
            f"{answer.url.host} answers {answer.status_code}, but not as Airflow's REST API does: "
            f"is the address right?"
        )
    return f"{answer.url.host} answers {answer.status_code}: {said}"
