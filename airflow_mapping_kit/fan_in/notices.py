"""The text of a notifier about a failure: which pieces failed, why, and where to see them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

from airflow_mapping_kit.fan_in.markup import MAX_LENGTH, markup

if TYPE_CHECKING:
    from collections.abc import Mapping

_TEMPLATE = (
    "{%% if macros.mapping_kit is defined %%}{{ macros.mapping_kit.%s }}"
    "{%% else %%}{{ ti.dag_id }}.{{ ti.task_id }} failed{%% endif %%}"
)


def report_markdown(
    report: Mapping[str, Any],
    *,
    form: Literal["markdown", "slack", "html"] = "markdown",
    task: str | None = None,
    max_length: int = MAX_LENGTH,
) -> str:
    """Return the report of a fan-in as text for people: the counts, the errors, and the failed pieces with links.

    Keys and errors can contain anybody's text, so they are written as code and never interpreted. The links open each
    piece on the page *Partitions*. They exist if the function runs in a task, and Airflow knows its own address.

    :param report: what `collect` or `publish` returned, wherever its rows are.
    :param form: `"markdown"`, `"slack"` for Slack's markup (mrkdwn), or `"html"` for mail.
    :param task: the id of the collected task or group that the links open. Default: the first one.
    :param max_length: how many characters the text may have. It counts pieces that don't fit. Default 3,000, the
        limit of a section in Slack.
    :raises FanInError: if the form is unknown.

    Example: `report_markdown(report)` begins with `**1 of 93 pieces failed**`, and continues with

    `- 1 × `FileNotFoundError: no such file``, and below it the key of the piece.
    """
    # Every instance of the DAG pays for what its file imports: what only a notice takes waits for it.
    from airflow_mapping_kit.fan_in.told import Place, told_of_report

    return told_of_report(report, Place.here(task), markup(form), max_length)


def failure_text(form: Literal["markdown", "slack", "html"] = "markdown") -> str:
    """Return a Jinja string for a notifier that says which pieces failed, and why.

    Use it in `on_failure_callback` and `on_retry_callback`, wherever a notifier renders templates. For a mapped
    instance the text has the piece, the try, the error and a link to the log. For a fan-in it is the text of
    `report_markdown`, for any other task the error. Secrets that Airflow knows are masked.

    :param form: `"markdown"`, `"slack"` for Slack's markup (mrkdwn), or `"html"` for mail.
    :return: the template. Rendering it never raises.
    :raises FanInError: if the form is unknown.

    Example: `collect(load, on_failure_callback=SmtpNotifier(to="team@example.com", subject=failure_subject(),
    html_content=failure_text("html")))`.
    """
    markup(form)
    return _TEMPLATE % f"failure_text('{form}')"


def failure_subject() -> str:
    """Return a Jinja string for the subject of a notice: one line, without markup.

    :return: the template. Rendering it never raises.

    Example: it renders to `flights.load failed: date=2013-01-01/origin=EWR`, and for a fan-in to
    `flights.collect_load: 3 of 93 pieces failed`.
    """
    return _TEMPLATE % "failure_subject()"
