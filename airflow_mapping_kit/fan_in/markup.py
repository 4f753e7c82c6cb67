"""The markup of notices: Markdown, Slack's own, HTML. Text from keys and errors is never interpreted."""

from __future__ import annotations

import html
import re
from typing import TYPE_CHECKING, NamedTuple

from airflow_mapping_kit.exceptions import FanInError
from airflow_mapping_kit.partitions.sequences import shown
from airflow_mapping_kit.printable import one_line

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

# How long a notice is by default: what a section of Slack takes.
MAX_LENGTH = 3000


class Markup(NamedTuple):
    """One kind of markup.

    :param code: text from keys and errors, as it is.
    :param link: an address, and the text that it shows, as in `code`.
    :param bold: text of the kit, which may contain markup.
    :param item: a line of a list, of the level 0 or 1.
    :param all: the lines, put together.
    """

    code: Callable[[str], str]
    link: Callable[[str, str], str]
    bold: Callable[[str], str]
    item: Callable[[int, str], str]
    all: Callable[[Iterable[str]], str]


def markup(form: str) -> Markup:
    """Return the markup of a name.

    :raises FanInError: if there is none.
    """
    if form not in _FORMS:
        raise FanInError(f"form={shown(form)} is unknown: choose one of {', '.join(_FORMS)}.")
    return _FORMS[form]


def _markdown_code(text: str) -> str:
    plain = one_line(text)
    # A fence that is longer than any run of backticks in the text; a space keeps those at its ends apart.
    fence = "`" * (max(map(len, re.findall("`+", plain)), default=0) + 1)
    space = " " if plain.startswith(("`", " ")) or plain.endswith(("`", " ")) or not plain else ""
    return f"{fence}{space}{plain}{space}{fence}"


def _slack_escaped(text: str) -> str:
    return html.escape(one_line(text), quote=False)


def _slack_code(text: str) -> str:
    # Slack has no way to write a backtick in code.
    return f"`{_slack_escaped(text).replace('`', chr(0x2B9))}`"


def _html_code(text: str) -> str:
    return f"<code>{html.escape(one_line(text))}</code>"


def _indented(level: int, text: str) -> str:
    return f"{'    ' * level}- {text}"


_FORMS = {
    "markdown": Markup(
        code=_markdown_code,
        link=lambda url, text: f"[{_markdown_code(text)}]({url})",
        bold=lambda text: f"**{text}**",
        item=_indented,
        # A list begins after an empty line.
        all=lambda lines: "\n".join(lines),
    ),
    "slack": Markup(
        code=_slack_code,
        link=lambda url, text: f"<{_slack_escaped(url)}|{_slack_escaped(text).replace('|', chr(0xA6))}>",
        bold=lambda text: f"*{text}*",
        item=lambda level, text: f"{'    ' * level}• {text}",
        all=lambda lines: "\n".join(lines),
    ),
    "html": Markup(
        code=_html_code,
        link=lambda url, text: f'<a href="{html.escape(url)}">{_html_code(text)}</a>',
        bold=lambda text: f"<b>{text}</b>",
        item=lambda level, text: f"{'&emsp;' * level}&bull; {text}",
        all=lambda lines: "<br>\n".join(lines),
    ),
}
