"""A failure as text for people: the report of a fan-in, or the error of one instance."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Any, NamedTuple

from airflow_mapping_kit.compat import get_current_context, redacted
from airflow_mapping_kit.failures import error_of, grouped
from airflow_mapping_kit.fan_in.links import page_of
from airflow_mapping_kit.fan_in.markup import MAX_LENGTH, markup
from airflow_mapping_kit.plans.arguments import key_of_instance, mapped_arguments
from airflow_mapping_kit.plans.mapped import Mapped, collected_by
from airflow_mapping_kit.printable import one_line
from airflow_mapping_kit.results import FAILURES

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from airflow_mapping_kit.fan_in.markup import Markup

# Of a key, of an error and of a subject so many characters are shown, and of an error so many lines.
_MAX_TEXT = 200
_MAX_LINES = 10
# What is between two lines, and what says how many pieces are left out.
_BETWEEN = 8
_MORE = 64


class Place(NamedTuple):
    """The task whose pieces they are, for links to them.

    :param task: the collected task or group. Default: the first that is collected.
    """

    dag_id: str
    run_id: str
    task: str | None

    @classmethod
    def here(cls, task: str | None) -> Place | None:
        """Return the place of the running task, `None` outside of one."""
        try:
            instance: Any = get_current_context()["ti"]
        except Exception:  # noqa: BLE001 -- no task is running
            return None
        return cls(instance.dag_id, instance.run_id, task)

    def page(self, piece: str | None = None) -> str | None:
        """Return the address of the page with the failures or one piece; `None` if Airflow doesn't know its address."""
        url = page_of(self.dag_id, self.run_id, self.task, failures=piece is None, piece=piece)
        return url if "://" in url else None


def said_of(report: Mapping[str, Any]) -> str:
    """Return how many pieces failed, in a line."""
    return f"{_number(report):,} of {report['total']:,} pieces failed"


def told_of_report(report: Mapping[str, Any], place: Place | None, marks: Markup, max_length: int) -> str:
    """Return a report as text."""
    counted = ", ".join(
        f"{report[state]:,} {state.replace('_', ' ')}"
        for state in ("succeeded", "failed", "skipped", "upstream_failed", "not_started")
        if report[state]
    )
    head = marks.bold(said_of(report)) + (f" ({counted})" if counted else "")
    failed, url = _number(report), place and place.page()
    end = ["", marks.link(url, "Look at them, and run them again")] if failed and url else []
    body: list[str] = []
    room = max_length - len(marks.all([head, *end])) - _MORE
    named = 0
    for line, pieces in _failed(report, place, marks):
        room -= len(line) + _BETWEEN
        if room < 0:
            break
        body.append(line)
        named += pieces
    if failed > named:
        body.append(
            marks.item(0, f"{'and ' if named else ''}{failed - named:,} {'more' if named else 'pieces'}")
        )
    return marks.all([head, *body, *end])


def told_of_instance(context: Mapping[str, Any], form: str) -> str:
    """Return the failure of a task as text, from the context of its callback; for a fan-in its report."""
    marks = markup(form)
    instance, name = context["ti"], marks.code(_name(context))
    report = _report(context)
    if report is not None:
        collected: Any = collected_by(context["task"])
        place = Place(instance.dag_id, instance.run_id, collected.name)
        text = f"{name}: "
        return text + told_of_report(report, place, marks, MAX_LENGTH - len(text))
    key = _key(context)
    head = marks.bold("failed") + (f": {marks.code(_cut(key))}" if key else "")
    lines = [
        f"{name} {head}, try {instance.try_number} of {instance.max_tries + 1}, run {marks.code(instance.run_id)}"
    ]
    lines += [marks.item(0, marks.code(_cut(line))) for line in _error_lines(context.get("exception"))]
    ways = [(getattr(instance, "log_url", None) or "", "Log")]
    if key:
        page = Place(instance.dag_id, instance.run_id, _mapped_name(context)).page(key)
        ways.append((page or "", "The piece, and how to run it again"))
    links = [marks.link(url, text) for url, text in ways if "://" in url]
    return marks.all([*lines, *([""] if links else []), *links])


def subject_of_instance(context: Mapping[str, Any]) -> str:
    """Return the failure of a task in one line without markup, from the context of its callback."""
    report, key = _report(context), _key(context)
    if report is not None:
        return f"{_name(context)}: {said_of(report)}"
    return _cut(one_line(f"{_name(context)} failed" + (f": {key}" if key else "")))


def _number(report: Mapping[str, Any]) -> int:
    return int(report["failed"] + report["upstream_failed"] + report["not_started"])


def _failed(report: Mapping[str, Any], place: Place | None, marks: Markup) -> Iterator[tuple[str, int]]:
    """Yield lines about the failures, each with the number of pieces that it names."""
    rows = report.get("failures")
    if rows is None:
        rows = [row for row in report.get("results", ()) if row["state"] in FAILURES]
    groups = grouped(rows).groups
    # Where it has not all of the rows, the numbers of the errors are those of all.
    known = len(rows) == _number(report)
    for error, number in () if known else report.get("errors", ()):
        yield marks.item(0, f"{number:,} × {marks.code(_cut(error))}"), 0
    if not known and rows:
        yield marks.item(0, "of them"), 0
    for group in groups:
        if known:
            shared = f" ({marks.code(_cut(group.shared))})" if group.shared else ""
            yield marks.item(0, f"{group.number:,} × {marks.code(_cut(group.error))}{shared}"), 0
        for key in group.keys:
            url = place and place.page(key)
            yield marks.item(1, marks.link(url, _cut(key)) if url else marks.code(_cut(key))), 1


def _report(context: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """Return the report of a fan-in; `None` for any other task, and if there is none."""
    if collected_by(context["task"]) is None:
        return None
    instance = context["ti"]
    report = instance.xcom_pull(task_ids=instance.task_id)
    return report if isinstance(report, dict) and "not_started" in report else None


def _key(context: Mapping[str, Any]) -> str | None:
    """Return the key of an instance's piece, or else its label or its number; `None` if it has no piece."""
    instance: Any = context["ti"]
    # Where the task's own process was killed nothing may be known of its arguments.
    with suppress(Exception):
        mapped = mapped_arguments(context)  # type: ignore[arg-type]  # it is one
        if mapped:
            return key_of_instance(context["task"], mapped)
    if instance.map_index < 0:
        return None
    return getattr(instance, "rendered_map_index", None) or f"[{instance.map_index}]"


def _mapped_name(context: Mapping[str, Any]) -> str | None:
    """Return the mapped task, or the mapped group around it, by which the page knows the piece."""
    task = context["task"]
    try:
        return Mapped.of(task.dag.get_task(task.task_id)).name
    except Exception:  # noqa: BLE001 -- then the page shows the first
        return None


def _name(context: Mapping[str, Any]) -> str:
    return f"{context['ti'].dag_id}.{context['ti'].task_id}"


def _error_lines(error: Any) -> list[str]:
    if error is None:
        return ["no exception recorded"]
    said = error_of(error, redacted)
    first, _, others = said["message"].partition("\n")
    lines = [": ".join(part for part in (said["type"], first) if part), *others.splitlines()]
    return [line for line in lines if line.strip()][:_MAX_LINES]


def _cut(text: str) -> str:
    return text if len(text) <= _MAX_TEXT else f"{text[: _MAX_TEXT - 1]}…"
