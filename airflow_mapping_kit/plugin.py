"""What Airflow loads of the kit by itself: the macro behind `label()`, and the listeners."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from airflow.plugins_manager import AirflowPlugin
from jinja2 import pass_context

from airflow_mapping_kit import labels
from airflow_mapping_kit.compat import AIRFLOW_3, hidden_names, redacted
from airflow_mapping_kit.failures import traceback_of
from airflow_mapping_kit.listeners import instances, runs, supervised
from airflow_mapping_kit.pieces.arguments import arguments, mapped_arguments
from airflow_mapping_kit.pieces.batches import held_by

if TYPE_CHECKING:
    from airflow.utils.context import Context
    from jinja2.runtime import Context as JinjaContext

log = logging.getLogger(__name__)


@pass_context
def label(jinja_context: JinjaContext, text: str) -> str:
    """Return the label of the running instance. Never raises: a label is no reason to fail a task."""
    try:
        context: Context = jinja_context.get_all()  # type: ignore[assignment]  # it is what Airflow renders with
        native = getattr(context["dag"], "render_template_as_native_obj", False)
        task = context["task"]
        mapped = mapped_arguments(context)
        batch = held_by(context["ti"], task, mapped)
        # Airflow 3 renders it before the work as well; what is wrong with it is said once.
        final = not AIRFLOW_3 or context["ti"].rendered_map_index is not None
        rendered = labels.render(
            text, mapped, arguments(task), batch=batch, final=final, hidden=hidden_names()
        )
    except Exception as error:  # noqa: BLE001 -- Airflow 2.10 fails a succeeded task when its label cannot be rendered
        log.warning(
            "label(%r) cannot be shown; the instance keeps its number.\n%s",
            text,
            traceback_of(error, redacted, since=error.__traceback__),
        )
        return str(getattr(jinja_context.get("ti"), "map_index", ""))
    # A DAG with render_template_as_native_obj evaluates what a template gives: quoted, it stays text.
    return repr(rendered) if native else rendered


class MappingKitPlugin(AirflowPlugin):
    """Makes `macros.mapping_kit.label` known to Jinja, and the listeners to Airflow."""

    name = "mapping_kit"
    macros: list[Any] = [label]  # noqa: RUF012 -- AirflowPlugin declares it so
    # The hooks of instances have other arguments on Airflow 3, and run where there is no database.
    listeners: list[Any] = [runs, supervised if AIRFLOW_3 else instances]  # noqa: RUF012 -- so too
