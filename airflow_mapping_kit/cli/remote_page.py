"""The page's own API at a webserver: signing in, its answers, what it refuses."""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING, Any

from airflow_mapping_kit.cli.failures import Failure
from airflow_mapping_kit.cli.remote import PASSWORD, TOKEN, USER, client_at, sent

if TYPE_CHECKING:
    import httpx

_AIRFLOW_2 = (2,)
_OK, _UNAUTHORIZED, _TOO_MANY = 200, 401, 429
# In Airflow 2's form to sign in, and in its pages: without it nothing may be changed.
_FORM_TOKEN = re.compile(r'name="csrf_token"[^>]*\bvalue="([^"]+)"')
_PAGE_TOKEN = re.compile(r"csrfToken = '([^']+)'")


class Page:
    """The page's API.

    :param url: the webserver's address.
    """

    def __init__(self, url: str) -> None:
        self._client, airflow = client_at(url)
        self._of_2 = airflow == _AIRFLOW_2
        self._root = "mapping_kit" if self._of_2 else "mapping-kit"
        self._user = os.environ.get(USER)
        if self._of_2 and self._user:
            self._sign_in(self._user, os.environ.get(PASSWORD) or "")

    def get(self, path: str, query: dict[str, Any]) -> dict[str, Any]:
        """Return the answer to a question.

        :raises Failure: if there is none.
        """
        return self._read(sent(self._client, "GET", f"{self._root}/api/{path}", params=query))

    def post(self, path: str, body: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        """Return the status of a request that may change something, 200 or 409, and the answer.

        :raises Failure: if it is refused.
        """
        answer = sent(self._client, "POST", f"{self._root}/api/{path}", json=body, headers=self._guards())
        return answer.status_code, self._read(answer)

    def _read(self, answer: httpx.Response) -> dict[str, Any]:
        try:
            found = answer.json()
        except ValueError:
            found = None
        if not isinstance(found, dict) or (answer.status_code != _OK and "error" not in found):
            raise Failure(
                f"{answer.url.host} has no page of airflow-mapping-kit's ({answer.status_code} at {answer.url.path}): "
                f"install the package where the webserver runs, or run this beside the database."
            )
        if answer.status_code == _OK or "preview" in found:
            return found
        if answer.status_code == _UNAUTHORIZED:
            raise Failure(self._who(str(answer.url.host)))
        raise Failure(f"{answer.url.host} answers {answer.status_code}: {found['error']}")

    def _who(self, host: str) -> str:
        if not self._of_2:
            return f"{host} doesn't know who asks (401): sign in with {TOKEN}, or with {USER} and {PASSWORD}."
        if self._user:
            return f"{host} takes neither {USER} nor {PASSWORD} (401), or people sign in to it elsewhere."
        return (
            f"{host} doesn't know who asks (401). On Airflow 2 a page takes a name and a password, {USER} and "
            f"{PASSWORD}, and no token."
        )

    def _sign_in(self, user: str, password: str) -> None:
        """Sign in as a browser does: Airflow 2's pages take what its API takes from nobody."""
        form = sent(self._client, "GET", "login/")
        token = _FORM_TOKEN.search(form.text)
        if token is None:
            raise Failure(
                f"{form.url.host} has no form to sign in, so people sign in to it elsewhere: run this beside the "
                f"database."
            )
        answer = sent(
            self._client,
            "POST",
            "login/",
            data={"username": user, "password": password, "csrf_token": token[1]},
            # Where it comes from is looked at where it is encrypted.
            headers={"Referer": str(form.url)},
        )
        if answer.status_code == _TOO_MANY:
            raise Failure(
                f"{answer.url.host} lets nobody sign in so often (429), which each command does once: wait a minute."
            )

    def _guards(self) -> dict[str, str]:
        """Return the headers without which nothing may be changed: other sites can't set them."""
        if not self._of_2:
            return {"X-Mapping-Kit": "1"}
        page = sent(self._client, "GET", f"{self._root}/")
        token = _PAGE_TOKEN.search(page.text)
        return {"Referer": str(page.url), **({"X-CSRFToken": token[1]} if token else {})}
