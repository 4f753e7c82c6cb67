"""The way from Airflow 2's own pages of a DAG to the page Partitions.

Airflow 2 gives plugins no place there, so a link is put beside the DAG's schedule. Where the mark that it goes before
is not, nothing is: the menu and the link of the fan-in lead to the page as well.
"""

from __future__ import annotations

import gzip
import logging
from typing import TYPE_CHECKING

from flask import current_app, request, url_for
from markupsafe import escape

from airflow_mapping_kit.compat import is_mapped, redacted
from airflow_mapping_kit.failures import traceback_of

if TYPE_CHECKING:
    from flask import Response

log = logging.getLogger(__name__)

_PAGES = ("Airflow.grid", "Airflow.task", "Airflow.xcom")
_MARK = b'<h4 class="js-dataset-triggered"'


def with_link(response: Response) -> Response:
    """Return Airflow's answer, with the link where it is a page of a DAG that has partitions. Never raises."""
    if request.endpoint not in _PAGES or response.mimetype != "text/html" or response.direct_passthrough:
        return response
    try:
        dag_id = (request.view_args or {}).get("dag_id") or request.args.get("dag_id")
        if response.status_code == 200 and dag_id and _has_partitions(dag_id):  # noqa: PLR2004 -- of HTTP
            _put(response, dag_id)
    except Exception as error:  # noqa: BLE001 -- Airflow's page is whole without it
        log.warning("No link to Partitions.\n%s", traceback_of(error, redacted, since=error.__traceback__))
    return response


def _has_partitions(dag_id: str) -> bool:
    # Airflow has just read it to show it.
    dag = current_app.dag_bag.get_dag(dag_id)  # type: ignore[attr-defined]  # Airflow's application has one
    return dag is not None and any(is_mapped(task) for task in dag.task_dict.values())


def _put(response: Response, dag_id: str) -> None:
    # Some of Airflow's views have packed their page by now.
    packed = response.content_encoding == "gzip"
    body = gzip.decompress(response.get_data()) if packed else response.get_data()
    if _MARK not in body:
        return
    address = escape(url_for("mapping_kit.dag", dag_id=dag_id)).encode()
    link = b'<a id="mapping-kit-link" class="label label-primary" href="%s">Partitions</a> ' % address
    body = body.replace(_MARK, link + _MARK, 1)
    response.set_data(gzip.compress(body, 5) if packed else body)
