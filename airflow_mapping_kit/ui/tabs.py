"""What Airflow loads of the page: by which Airflow this is, and nothing of it where no web server runs."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from airflow_mapping_kit.compat import AIRFLOW_3, parts, redacted, switches
from airflow_mapping_kit.failures import traceback_of
from airflow_mapping_kit.ui.files import version

if TYPE_CHECKING:
    from collections.abc import Callable

log = logging.getLogger(__name__)


def flask_blueprints() -> list[Any]:
    """Return the views of Airflow 2."""
    return [] if AIRFLOW_3 else _of_this_airflow(_blueprints)


def menu_items() -> list[dict[str, str]]:
    """Return the entry of Airflow 2's menu *Browse*."""
    # By the name of the view, so that a prefix of Airflow's URL is kept.
    href = "mapping_kit.overview"
    return [{"name": "Partitions", "category": "Browse", "href": href}] if flask_blueprints() else []


def fastapi_apps() -> list[dict[str, Any]]:
    """Return the application that Airflow 3 serves below its own."""
    return _of_this_airflow(_apps) if AIRFLOW_3 else []


def react_apps() -> list[dict[str, str]]:
    """Return the tabs of Airflow 3: of a DAG, a run, a mapped instance, and an entry of *Browse*."""
    if not fastapi_apps():
        return []
    # Without a slash in front: it is resolved where Airflow is, below a prefix too. The name must be none of the
    # browser's own.
    shown = {"name": "Partitions", "bundle_url": f"mapping-kit/static/{version()}/react.js"}
    return [
        {**shown, "destination": "dag", "url_route": "partitions"},
        {**shown, "destination": "dag_run", "url_route": "pieces"},
        {**shown, "destination": "task_instance", "url_route": "partition"},
        {**shown, "destination": "nav", "category": "browse", "url_route": "partitions-of-dags"},
    ]


def _of_this_airflow(make: Callable[[], list[Any]]) -> list[Any]:
    """Return what `make` returns. Airflow's web server starts without it, whatever is wrong."""
    if not switches.on("page") or parts.switched_off(parts.PAGE):
        return []
    try:
        return make()
    except Exception as error:  # noqa: BLE001 -- of Airflow's web framework, or of the page
        log.error(  # noqa: TRY400 -- with no secrets in it
            "The page Partitions can't be loaded; all else of the kit works.\n%s",
            traceback_of(error, redacted, since=error.__traceback__),
        )
        return []


def _blueprints() -> list[Any]:
    from airflow_mapping_kit.ui.flask_2 import blueprint

    return [blueprint]


def _apps() -> list[dict[str, Any]]:
    from airflow_mapping_kit.ui.fastapi_3 import app

    return [{"app": app, "url_prefix": "/mapping-kit", "name": "Partitions"}]
