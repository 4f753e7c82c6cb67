"""The page on Airflow 3: an application below the API server's.

`request.app` is this application, not Airflow's, so what looks for Airflow's auth manager or its DAGs there finds
none. Nothing is guarded by itself: every route takes `WhoDep`, but for the files.
"""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING, Annotated, Any
from urllib.parse import urlencode

from airflow.api_fastapi.app import get_auth_manager
from airflow.api_fastapi.auth.managers.models.resource_details import DagAccessEntity, DagDetails
from airflow.api_fastapi.core_api.security import (
    GetUserDep,  # noqa: TC002 -- FastAPI reads it from the annotations
)
from airflow.models.dag import DagModel
from fastapi import Depends, FastAPI, Request, status
from fastapi.responses import HTMLResponse, RedirectResponse, Response
from fastapi.staticfiles import StaticFiles
from sqlalchemy.exc import SQLAlchemyError
from starlette.exceptions import HTTPException

from airflow_mapping_kit.printable import one_line
from airflow_mapping_kit.ui import api
from airflow_mapping_kit.ui.answers import Answer, done, refusal, seen
from airflow_mapping_kit.ui.asked import MOST_BYTES, Query, action, too_large
from airflow_mapping_kit.ui.files import STATIC, TEMPLATES, modules, version
from airflow_mapping_kit.ui.refused import Refused
from airflow_mapping_kit.ui.settings import setting

if TYPE_CHECKING:
    from collections.abc import Callable

    from airflow_mapping_kit.ui.who import Entity, Method

app = FastAPI(title="Partitions", docs_url=None, redoc_url=None, openapi_url=None)


class Who:
    """The user of a request. Airflow answers 401 to a request without one."""

    signed_in = True

    def __init__(self, user: GetUserDep) -> None:
        self._user = user

    @property
    def name(self) -> str:
        """The user name."""
        return str(self._user.get_name())

    def can(self, method: Method, entity: Entity, dag_id: str) -> bool:
        """Tell whether Airflow allows this of a DAG."""
        return bool(
            get_auth_manager().is_authorized_dag(
                method=method,
                access_entity=DagAccessEntity[entity],
                details=DagDetails(id=dag_id, team_name=DagModel.get_team_name(dag_id)),
                user=self._user,
            )
        )

    def readable(self) -> set[str]:
        """Return the ids of the DAGs that may be read."""
        return set(get_auth_manager().get_authorized_dag_ids(user=self._user, method="GET"))


WhoDep = Annotated[Who, Depends()]


async def same_site(request: Request) -> None:
    """Refuse what another site made a browser send.

    Airflow's cookie is `SameSite=Lax`. A header that only a script of this site can set is the second lock.
    """
    if (
        "x-mapping-kit" not in request.headers
        or request.headers.get("sec-fetch-site", "same-origin") != "same-origin"
    ):
        raise Refused(403, "This request does not come from Airflow's own page, so nothing was done.")


async def body_of(request: Request) -> bytes:
    """Return the body, which is read only as far as it may go."""
    body = b""
    async for part in request.stream():
        body += part
        if len(body) > MOST_BYTES:
            raise too_large()
    return body


BodyDep = Annotated[bytes, Depends(body_of)]
SAME_SITE = [Depends(same_site)]


@app.get("/api/dags")
def dags(who: WhoDep, request: Request) -> Response:
    """Answer with the overview."""
    return _seen(request, lambda: api.dags(who))


@app.get("/api/dags/{dag_id}/partitions")
def partitions(who: WhoDep, dag_id: str, request: Request) -> Response:
    """Answer with the matrix of a DAG."""
    return _seen(request, lambda: api.partitions(who, dag_id, _query(request)))


@app.get("/api/dags/{dag_id}/piece")
def piece(who: WhoDep, dag_id: str, request: Request) -> Response:
    """Answer with the history of one partition."""
    return _seen(request, lambda: api.piece(who, dag_id, _query(request)))


@app.post("/api/dags/{dag_id}/preview", dependencies=SAME_SITE)
def preview(who: WhoDep, dag_id: str, body: BodyDep) -> Response:
    """Answer with what an action would do."""
    return _given(done(lambda: api.preview(who, dag_id, action(body))))


@app.post("/api/dags/{dag_id}/redrive", dependencies=SAME_SITE)
def redrive(who: WhoDep, dag_id: str, body: BodyDep) -> Response:
    """Do what a preview showed."""
    return _given(done(lambda: api.redrive(who, dag_id, action(body))))


@app.get("/api/dags/{dag_id}/settings")
def settings(who: WhoDep, dag_id: str, request: Request) -> Response:
    """Answer with what holds of a task in a run."""
    return _seen(request, lambda: api.settings(who, dag_id, _query(request)))


@app.post("/api/dags/{dag_id}/settings", dependencies=SAME_SITE)
def set_(who: WhoDep, dag_id: str, body: BodyDep) -> Response:
    """Change what holds of a task in a run."""
    return _given(done(lambda: api.set_(who, dag_id, setting(body))))


@app.get("/", response_class=HTMLResponse)
@app.get("/dags/{dag_id}", response_class=HTMLResponse)
def alone(who: WhoDep, request: Request, dag_id: str = "") -> HTMLResponse:  # noqa: ARG001 -- somebody has to ask
    """Show the page without Airflow's frame, to whoever may not read plugins: it has no tabs for them.

    It holds no data: those come with the first request, which is guarded for its DAG.
    """
    root = request.scope["root_path"].rstrip("/")
    said = {
        "root": root,
        "base": root.removesuffix("mapping-kit"),
        "dag": dag_id,
        "mark": version(),
    }
    safe = {name: escape(value) for name, value in said.items()}
    preloads = "\n".join(
        f'<link rel="modulepreload" href="{safe["root"]}/static/{safe["mark"]}/{name}">' for name in modules()
    )
    shell = (TEMPLATES / "alone.html").read_text()
    return HTMLResponse(shell.format(**safe, preloads=preloads))


class _Files(StaticFiles):
    """The files of the page: public, as Airflow's own are. Their address differs with each version of them."""

    def get_path(self, scope: Any) -> str:
        """Return which file it is: what follows the mark."""
        path: str = super().get_path(scope)
        return path.partition("/")[2]


app.mount("/static", _Files(directory=STATIC), name="static")


@app.exception_handler(Refused)
@app.exception_handler(SQLAlchemyError)
async def _refused(_: Request, error: Exception) -> Response:
    return _given(refusal(error))


@app.exception_handler(HTTPException)
async def _http_error(request: Request, error: HTTPException) -> Response:
    """Say in the page's form what Airflow and FastAPI refuse: no user, no such route. A person is sent to sign in."""
    unknown = error.status_code in (status.HTTP_401_UNAUTHORIZED, status.HTTP_403_FORBIDDEN)
    if unknown and "text/html" in request.headers.get("accept", ""):
        base = request.scope["root_path"].rstrip("/").removesuffix("mapping-kit")
        # Without scheme and host: a proxy before Airflow may have others.
        page = f"{request.url.path}?{request.url.query}"
        return RedirectResponse(f"{base}api/v2/auth/login?{urlencode({'next': page})}")
    return _given(refusal(Refused(error.status_code, one_line(error.detail))))


def _query(request: Request) -> Query:
    return Query({name: request.query_params.getlist(name) for name in request.query_params})


def _seen(request: Request, ask: Callable[[], dict[str, Any]]) -> Response:
    return _given(seen(ask, request.headers.get("if-none-match")))


def _given(answer: Answer) -> Response:
    headers = {"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff"}
    if answer.stamp is not None:
        headers["ETag"] = answer.stamp
    return Response(answer.body, answer.status, headers, media_type="application/json")
