"""Airflow's stable REST API, for where there is no shell beside the database: that of Airflow 2 or of Airflow 3."""

from __future__ import annotations

import ast
import logging
import os
import re
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
_OK = 200
# What the kit knows of Airflow 2 it knows of any: its API doesn't say which one it is to strangers.
_AIRFLOW_2 = (2,)
_STORE_SINCE = (3, 3)

api_option: Callable[[Any], Any] = click.option(
    "--api",
    metavar="URL",
    help=f"Ask the REST API of the webserver at this address, not the database. Signs in by {TOKEN}, or {USER} "
    f"and {PASSWORD}, of the environment.",
)


class Api:
    """The API of one webserver.

    :param client: signed in, with the API's address.
    :param airflow: the version of Airflow, `(3, 3)`; of Airflow 2 it is not known more closely than `(2,)`.
    """

    def __init__(self, client: httpx.Client, airflow: tuple[int, ...]) -> None:
        self._client = client
        self._airflow = airflow

    @property
    def exact(self) -> bool:
        """Whether it clears single map indexes: it does since Airflow 3."""
        return self._airflow > _AIRFLOW_2

    @property
    def has_state_store(self) -> bool:
        """Whether instances keep what is done of a batch where a clear leaves it: since Airflow 3.3."""
        return self._airflow >= _STORE_SINCE

    @property
    def latest_first(self) -> str:
        """By what runs are ordered so that the latest comes first: Airflow 3 has runs without a logical date."""
        return "-run_after" if self.exact else "-execution_date"

    def get(self, path: str, **query: Any) -> dict[str, Any] | None:
        """Return the answer to a question, `None` where nothing is found."""
        return self._asked("GET", path, params=query)

    def post(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        """Return the answer to a request that changes something."""
        return self._asked("POST", path, json=body) or {}

    def patch(self, path: str, body: dict[str, Any], **query: Any) -> None:
        """Change something, if it is there."""
        self._asked("PATCH", path, json=body, params=query)

    def all(self, path: str, name: str, **query: Any) -> list[dict[str, Any]]:
        """Return the entries of all pages of a list."""
        return list(self._pages(path, name, query))

    def instances(self, dag_id: str, run_id: str) -> list[dict[str, Any]]:
        """Return all instances of a run."""
        # By default Airflow 3 orders them by map index alone: pages might then overlap.
        order = {"order_by": "id"} if self.exact else {}
        path = f"dags/{part(dag_id)}/dagRuns/{part(run_id)}/taskInstances"
        return self.all(path, "task_instances", **order)

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
        answer = sent(self._client, method, path, **request)
        if answer.status_code == _NOT_FOUND:
            return None
        if answer.is_success and answer.headers.get("content-type", "").startswith("application/json"):
            found: dict[str, Any] = answer.json()
            return found
        raise Failure(_refused(answer, exact=self.exact))


def reached(url: str) -> Api:
    """Return the API of a webserver, signed in as the environment says."""
    import httpx

    client, airflow = client_at(url)
    user, password = os.environ.get(USER), os.environ.get(PASSWORD) or ""
    if airflow == _AIRFLOW_2 and user and "Authorization" not in client.headers:
        client.auth = httpx.BasicAuth(user, password)
    client.base_url = client.base_url.join(f"api/{'v1' if airflow == _AIRFLOW_2 else 'v2'}/")
    return Api(client, airflow)


def client_at(url: str) -> tuple[httpx.Client, tuple[int, ...]]:
    """Return who asks a webserver, and its version of Airflow.

    It has a token, where the environment has one or Airflow 3 gives one; of Airflow 2 a name and a password are left
    to whoever asks: its API and its pages take them in ways of their own.
    """
    import httpx

    base = url.rstrip("/").removesuffix("/api/v1").removesuffix("/api/v2")
    if not base.startswith(("http://", "https://")):
        raise Failure(f"--api {url!r} is no address: write http:// or https:// and the webserver's name.")
    if "@" in base.partition("://")[2].partition("/")[0]:
        raise Failure(
            f"--api has a password in it, which `ps` shows to all: put it into {USER} and {PASSWORD}."
        )
    # Airflow's logging writes to where the answer goes, once something has imported it.
    logging.getLogger("httpx").setLevel(logging.WARNING)
    token, user, password = (os.environ.get(name) for name in (TOKEN, USER, PASSWORD))
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    client = httpx.Client(base_url=f"{base}/", headers=headers, timeout=_SECONDS)
    airflow = _version(client)
    if user and not token and airflow != _AIRFLOW_2:
        client.headers["Authorization"] = f"Bearer {_token(client, base, user, password or '')}"
    return client, airflow


def _version(client: httpx.Client) -> tuple[int, ...]:
    """Return the version of Airflow 3, which it tells everybody; what tells nothing is taken for Airflow 2."""
    answer = sent(client, "GET", "api/v2/version")
    try:
        version = answer.json()["version"] if answer.status_code == _OK else ""
    except (ValueError, KeyError, TypeError):
        version = ""
    numbers = re.match(r"(\d+)\.(\d+)", str(version))
    return _AIRFLOW_2 if numbers is None else (int(numbers[1]), int(numbers[2]))


def _token(client: httpx.Client, base: str, user: str, password: str) -> str:
    """Return what Airflow 3 gives for a name and a password: its API takes neither itself."""
    answer = sent(client, "POST", f"{base}/auth/token", json={"username": user, "password": password})
    try:
        return str(answer.json()["access_token"])
    except (ValueError, KeyError, TypeError):
        raise Failure(_refused(answer, exact=True)) from None


def sent(client: httpx.Client, method: str, path: str, **request: Any) -> httpx.Response:
    """Return the answer to a request, whatever it is.

    :raises Failure: if there is none.
    """
    import httpx

    try:
        return client.request(method, path, **request)
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        raise Failure(f"{client.base_url} can't be reached: {error or type(error).__name__}.") from None


def part(name: str) -> str:
    """Return a name as one part of a path."""
    return quote(name, safe="")


def _refused(answer: httpx.Response, *, exact: bool) -> str:
    if answer.status_code in (401, 403):
        said = f"{answer.url.host} refuses ({answer.status_code}): sign in with {TOKEN}, or with {USER} and {PASSWORD}."
        if exact:
            return said
        return (
            f"{said} For a password Airflow needs "
            f"airflow.providers.fab.auth_manager.api.auth.backend.basic_auth among [api] auth_backends."
        )
    try:
        found = answer.json().get("detail") or answer.reason_phrase
    except (ValueError, AttributeError):
        return (
            f"{answer.url.host} answers {answer.status_code}, but not as Airflow's REST API does: "
            f"is the address right?"
        )
    return f"{answer.url.host} answers {answer.status_code}: {found}"
