"""Strangers' text on its way to a terminal, a log or a page: keys of files, errors, what a server answered."""

from __future__ import annotations

import json
import re

# Control characters (ESC among them, and the C1 ones that some terminals obey), what turns the direction of
# writing round, what can't be seen, line separators and lone surrogates. Not the joiners that scripts and
# emoji need.
_CONTROLS = re.compile(
    "[\x00-\x1f\x7f-\x9f\xad\u061c\u180e\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ud800-\udfff"
    "\ufeff\ufff9-\ufffb\U000e0000-\U000e007f]"
)


def one_line(text: object) -> str:
    r"""Return a text with every character escaped that could end its line or steer what shows it.

    `one_line("a.csv\nINFO - done")` gives `a.csv\nINFO - done`, its backslash one that can be seen.
    """
    try:
        plain = str(text)
    except Exception:  # noqa: BLE001 -- an exception of a stranger's
        plain = f"a {type(text).__name__} that can't be printed"
    return _CONTROLS.sub(_escaped, plain)


def lines(text: str) -> str:
    """Return a text of several lines whose lines and tabs stay, and everything else is as in `one_line`."""
    return _CONTROLS.sub(
        lambda found: found[0] if found[0] in "\n\t" else _escaped(found), text.replace("\r\n", "\n")
    )


def in_json(text: str) -> str:
    """Return a JSON text with everything escaped that is in `one_line`; programs read the same out of it."""
    return _CONTROLS.sub(lambda found: found[0] if found[0] == "\n" else json.dumps(found[0])[1:-1], text)


def _escaped(found: re.Match[str]) -> str:
    return found[0].encode("unicode_escape").decode()
