"""The rules that look at one file, as an extension of flake8, which is not needed otherwise."""

from __future__ import annotations

import io
import sys
import tokenize
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from airflow_mapping_kit import __version__
from airflow_mapping_kit.lint import config, noqa
from airflow_mapping_kit.lint.lint import of_source
from airflow_mapping_kit.lint.rules import RULES
from airflow_mapping_kit.lint.source import Source, Unreadable

if TYPE_CHECKING:
    import ast
    from collections.abc import Iterator, Sequence


class Plugin:
    """What flake8 makes of each file that it looks at.

    :param tree: not used: the lint needs the text to the byte, too.
    :param filename: as flake8 shows it.
    :param lines: with their ends, without a byte order mark.
    """

    name = "mapping-kit"
    version = __version__
    settings: ClassVar[config.Settings] = config.Settings()

    def __init__(self, tree: ast.Module, filename: str, lines: Sequence[str]) -> None:
        del tree
        # flake8 writes ./dags/mail.py: no glob of the settings does.
        self._path, self._text = str(Path(filename)), "".join(lines)

    @classmethod
    def add_options(cls, manager: Any) -> None:
        """Turn the rules off that are off unless they are asked for."""
        manager.extend_default_ignore([rule.id for rule in RULES.values() if not rule.on])

    @classmethod
    def parse_options(cls, options: Any) -> None:
        """Read `[tool.mapping-kit.lint]`; which rules look is what flake8's own options say."""
        del options
        try:
            cls.settings, _ = config.read(Path.cwd(), RULES)
        except config.ConfigError as error:
            sys.exit(str(error))

    def run(self) -> Iterator[tuple[int, int, str, type]]:
        """Yield what is found: line, column and text."""
        if "airflow" not in self._text:
            return
        try:
            encoding, _ = tokenize.detect_encoding(io.BytesIO(self._text.encode()).readline)
            source = Source(self._path, self._text.encode(encoding))
        except (Unreadable, SyntaxError, UnicodeEncodeError):
            return  # flake8 says itself that it doesn't parse
        if noqa.is_off(source):
            return
        findings = of_source(source, self.settings, {id_ for id_, rule in RULES.items() if rule.check})
        for one in findings:
            yield one.place.line, one.place.column, f"{one.rule} {one.message}. {one.remedy}.", type(self)
