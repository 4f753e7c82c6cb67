"""What Airflow loads of the kit by itself: the macro behind `label()`, the listeners, and the page."""

from __future__ import annotations

import logging
from functools import cached_property
from typing import TYPE_CHECKING, Any

from airflow.plugins_manager import AirflowPlugin
from jinja2 import Environment, pass_context
from jinja2.nativetypes import NativeEnvironment

from airflow_mapping_kit import labels
from airflow_mapping_kit.compat import AIRFLOW_3, hidden_names, metrics_on, parts, redacted, switches
from airflow_mapping_kit.failures import traceback_of
from airflow_mapping_kit.listeners import counting, instances, runs, starting, supervised, waiting
from airflow_mapping_kit.plans.arguments import arguments, chosen_key_of_instance, mapped_arguments
from airflow_mapping_kit.plans.ranges import held_by
from airflow_mapping_kit.ui import tabs

if TYPE_CHECKING:
    from collections.abc import Callable

    from airflow.utils.context import Context
    from jinja2.runtime import Context as JinjaContext

log = logging.getLogger(__name__)


@pass_context
def label(jinja_context: JinjaContext, text: str) -> str:
    """Return the label of the running instance. Never raises: a label is no reason to fail a task."""
    return _rendered(jinja_context, _label_of, text)


@pass_context
def composed(jinja_context: JinjaContext, template: str) -> str:
    """Return what a template says that has labels in it, as a label. Never raises either."""
    return _rendered(jinja_context, _composition_of, template)


def _rendered(jinja_context: JinjaContext, render: Callable[[JinjaContext, str], str], text: str) -> str:
    try:
        rendered = render(jinja_context, text)
    except Exception as error:  # noqa: BLE001 -- Airflow 2.10 fails a succeeded task when its label cannot be rendered
        log.warning(
            "label(%r) cannot be shown; the instance keeps its number.\n%s",
            text,
            traceback_of(error, redacted, since=error.__traceback__),
        )
        rendered = str(getattr(jinja_context.get("ti"), "map_index", ""))
    return _Quoted(rendered) if isinstance(jinja_context.environment, NativeEnvironment) else rendered


@pass_context
def failure_text(jinja_context: JinjaContext, form: str) -> str:
    """Return what failed of a task, for its notifier. Never raises: the notice is to come in any case."""
    return _rendered_notice(jinja_context, lambda told, context: told.told_of_instance(context, form))


@pass_context
def failure_subject(jinja_context: JinjaContext) -> str:
    """Return the same in one line."""
    return _rendered_notice(jinja_context, lambda told, context: told.subject_of_instance(context))


def _rendered_notice(jinja_context: JinjaContext, render: Callable[[Any, Any], str]) -> str:
    context = jinja_context.get_all()
    try:
        # Most processes never tell of anything.
        from airflow_mapping_kit.fan_in import told

        rendered = render(told, context)
    except Exception as error:  # noqa: BLE001 -- as above
        log.warning(
            "The notice can't say which pieces failed.\n%s",
            traceback_of(error, redacted, since=error.__traceback__),
        )
        instance = context.get("ti")
        rendered = f"{getattr(instance, 'dag_id', '?')}.{getattr(instance, 'task_id', '?')} failed"
    return _Quoted(rendered) if isinstance(jinja_context.environment, NativeEnvironment) else rendered


def _label_of(jinja_context: JinjaContext, text: str) -> str:
    context: Context = jinja_context.get_all()  # type: ignore[assignment]  # it is what Airflow renders with
    task = context["task"]
    mapped = mapped_arguments(context)
    batch = held_by(context["ti"], task, mapped)
    # Airflow 3 renders it before the work as well; what is wrong with it is said once.
    final = not AIRFLOW_3 or context["ti"].rendered_map_index is not None
    key = chosen_key_of_instance(task, mapped)
    return labels.render(
        text, mapped, arguments(task), batch=batch, key=key, final=final, hidden=hidden_names()
    )


def _composition_of(jinja_context: JinjaContext, template: str) -> str:
    its = jinja_context.environment
    plain = Environment(undefined=its.undefined, autoescape=False)  # noqa: S701 -- as Airflow's: a label is no page
    plain.filters, plain.tests, plain.globals = its.filters, its.tests, its.globals
    return labels.shown(plain.from_string(template).render(jinja_context.get_all()))


class _Quoted(str):
    """Text that stays text where Jinja evaluates what a template gives.

    It is evaluated where it is all that the template gives, and is joined with what else there is.
    """

    _text: str

    def __new__(cls, text: str) -> _Quoted:
        quoted = super().__new__(cls, repr(text))
        quoted._text = text  # noqa: SLF001 -- it has just been made
        return quoted

    def __str__(self) -> str:
        return self._text


def _listeners() -> list[Any]:
    if not switches.on("listeners"):
        return []
    return [
        starting,
        *([counting] if metrics_on() else []),
        *([] if parts.switched_off(parts.LITERALS) else [runs]),
        # The hooks of instances have other arguments on Airflow 3, and run where there is no database.
        *([] if parts.switched_off(parts.COLLECT) else [supervised if AIRFLOW_3 else instances]),
    ]


class MappingKitPlugin(AirflowPlugin):
    """Makes `macros.mapping_kit.label` and `composed` known to Jinja, and the listeners to Airflow."""

    name = "mapping_kit"
    macros: list[Any] = (
        [] if parts.switched_off(parts.LABELS) else [label, composed, failure_text, failure_subject]
    )
    listeners: list[Any] = _listeners()

    # Read by the web server alone: Flask, FastAPI and the page aren't imported anywhere else.
    flask_blueprints = cached_property(lambda _: tabs.flask_blueprints())  # type: ignore[assignment]  # Airflow only reads it
    appbuilder_menu_items = cached_property(lambda _: tabs.menu_items())  # type: ignore[assignment]  # Airflow only reads it
    fastapi_apps = cached_property(lambda _: tabs.fastapi_apps())
    react_apps = cached_property(lambda _: tabs.react_apps())

    @classmethod
    def on_load(cls, *args: Any, **kwargs: Any) -> None:  # noqa: ARG003 -- Airflow may come to pass some
        """Have plans noticed that are made again."""
        if switches.on("listeners"):
            waiting.watch()
