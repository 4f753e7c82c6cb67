"""The page on Airflow 2: a Flask blueprint.

Airflow's own `has_access_*` answer by a redirect to the sign-in, which `fetch` follows to a page and "200 OK"; so the
auth manager is asked here. Tokens against forged requests are Airflow's own.
"""

from __future__ import annotations

import gzip
from typing import TYPE_CHECKING, Any

from airflow.auth.managers.models.resource_details import DagAccessEntity, DagDetails
from airflow.www.extensions.init_auth_manager import get_auth_manager
from flask import (
    Blueprint,
    Response,
    current_app,
    redirect,
    render_template,
    request,
    send_from_directory,
    url_for,
)
from werkzeug.exceptions import HTTPException

from airflow_mapping_kit.printable import one_line
from airflow_mapping_kit.ui import api
from airflow_mapping_kit.ui.answers import Answer, done, refusal, seen
from airflow_mapping_kit.ui.asked import Query, action
from airflow_mapping_kit.ui.files import STATIC, TEMPLATES, modules, version
from airflow_mapping_kit.ui.grid_2 import with_link
from airflow_mapping_kit.ui.outside_2 import Outside
from airflow_mapping_kit.ui.refused import Refused
from airflow_mapping_kit.ui.settings import setting
from airflow_mapping_kit.ui.who import rights

if TYPE_CHECKING:
    from collections.abc import Callable

    from airflow_mapping_kit.ui.who import Entity, Method

# Less than that isn't worth packing.
_PACKED = 1024
_YEAR = 365 * 24 * 3600

blueprint = Blueprint("mapping_kit", __name__, url_prefix="/mapping_kit", template_folder=str(TEMPLATES))
blueprint.after_app_request(with_link)


@blueprint.record_once
def _outside(state: Any) -> None:
    state.app.wsgi_app = Outside(state.app.wsgi_app, f"{blueprint.url_prefix}/api/")


class Who:
    """The user of this request."""

    @property
    def name(self) -> str:
        """The user name."""
        return str(get_auth_manager().get_user_name()) if self.signed_in else "anonymous"

    @property
    def signed_in(self) -> bool:
        """Whether it is somebody. A deployment may let nobody have rights too: those of the role Public."""
        return bool(get_auth_manager().is_logged_in())

    def can(self, method: Method, entity: Entity, dag_id: str) -> bool:
        """Tell whether Airflow allows this of a DAG."""
        return bool(
            get_auth_manager().is_authorized_dag(
                method=method, access_entity=DagAccessEntity[entity], details=DagDetails(id=dag_id)
            )
        )

    def readable(self) -> set[str]:
        """Return the ids of the DAGs that may be read."""
        return set(get_auth_manager().get_permitted_dag_ids(methods=["GET"]))


@blueprint.get("/api/dags")
def dags() -> Response:
    """Answer with the overview."""
    return _seen(lambda: api.dags(Who()))


@blueprint.get("/api/dags/<string:dag_id>/partitions")
def partitions(dag_id: str) -> Response:
    """Answer with the matrix of a DAG."""
    return _seen(lambda: api.partitions(Who(), dag_id, _query()))


@blueprint.get("/api/dags/<string:dag_id>/piece")
def piece(dag_id: str) -> Response:
    """Answer with the history of one partition."""
    return _seen(lambda: api.piece(Who(), dag_id, _query()))


@blueprint.post("/api/dags/<string:dag_id>/preview")
def preview(dag_id: str) -> Response:
    """Answer with what an action would do."""
    return _given(done(lambda: api.preview(Who(), dag_id, action(request.get_data()))))


@blueprint.post("/api/dags/<string:dag_id>/redrive")
def redrive(dag_id: str) -> Response:
    """Do what a preview showed."""
    return _given(done(lambda: api.redrive(Who(), dag_id, action(request.get_data()))))


@blueprint.get("/api/dags/<string:dag_id>/settings")
def settings(dag_id: str) -> Response:
    """Answer with what holds of a task in a run."""
    return _seen(lambda: api.settings(Who(), dag_id, _query()))


@blueprint.post("/api/dags/<string:dag_id>/settings")
def set_(dag_id: str) -> Response:
    """Change what holds of a task in a run."""
    return _given(done(lambda: api.set_(Who(), dag_id, setting(request.get_data()))))


@blueprint.route("/api/", defaults={"rest": ""})
@blueprint.route("/api/<path:rest>", methods=["GET", "POST", "PUT", "PATCH", "DELETE"])
def nothing(rest: str) -> Response:
    """Answer in JSON where there is nothing."""
    return _given(refusal(Refused(404, f"There is no /mapping_kit/api/{one_line(rest)}.")))


@blueprint.get("/")
def overview() -> Any:
    """Show the overview."""
    return _page("")


@blueprint.get("/dags/<string:dag_id>")
def dag(dag_id: str) -> Any:
    """Show the page of a DAG."""
    return _page(dag_id)


@blueprint.get("/static/<string:mark>/<path:name>")
def static_file(mark: str, name: str) -> Response:
    """Give a file of the page: public, as Airflow's own are. Its address differs with each version of it."""
    return send_from_directory(STATIC, name, max_age=_YEAR if mark == version() else 0)


@blueprint.errorhandler(HTTPException)
def _http_error(error: HTTPException) -> Any:
    """Say in JSON what Flask and Airflow refuse: a missing token, a body that is too large, a method."""
    if not request.path.startswith(f"{blueprint.url_prefix}/api/"):
        return error
    return _given(refusal(Refused(error.code or 500, one_line(error.description or error.name))))


@blueprint.errorhandler(Exception)
def _error(error: Exception) -> Any:
    """Say in JSON that the database is gone, where Airflow notices it before the page does."""
    if not request.path.startswith(f"{blueprint.url_prefix}/api/"):
        raise error
    return _given(refusal(error))


def _query() -> Query:
    return Query(request.args.to_dict(flat=False))


def _seen(ask: Callable[[], dict[str, Any]]) -> Response:
    return _given(seen(ask, request.headers.get("If-None-Match")))


def _given(answer: Answer) -> Response:
    body, headers = answer.body, {}
    if len(body) > _PACKED and request.accept_encodings.quality("gzip"):
        body, headers = gzip.compress(body, 5), {"Content-Encoding": "gzip"}
    response = Response(body, answer.status, headers, mimetype="application/json")
    response.vary.add("Accept-Encoding")
    response.headers["Cache-Control"] = "no-store"
    response.headers["X-Content-Type-Options"] = "nosniff"
    if answer.stamp is not None:
        response.headers["ETag"] = answer.stamp
    return response


def _page(dag_id: str) -> Any:
    who = Who()
    try:
        if dag_id:
            rights(who, dag_id)
        elif not (who.signed_in or who.readable()):
            return redirect(get_auth_manager().get_url_login(next_url=request.url))
    except Refused as refused:
        if not who.signed_in:
            return redirect(get_auth_manager().get_url_login(next_url=request.url))
        return render_template(
            "mapping_kit/refused.html", **_of_airflow(), status=refused.status, message=str(refused)
        ), refused.status
    base = url_for("Airflow.index").removesuffix("home")
    return render_template(
        "mapping_kit/partitions.html",
        **_of_airflow(),
        dag_id=dag_id,
        base=base,
        mark=version(),
        modules=modules(),
    )


def _of_airflow() -> dict[str, Any]:
    """Return what Airflow's templates need, which its own views have."""
    appbuilder = current_app.appbuilder  # type: ignore[attr-defined]  # Airflow's application has one
    return {"appbuilder": appbuilder, "base_template": appbuilder.base_template}
