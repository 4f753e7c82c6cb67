"""The settings of a project in its pyproject.toml, under `[tool.mapping-kit.lint]`."""

from __future__ import annotations

import difflib
import fnmatch
import importlib.util
import itertools
from dataclasses import dataclass, field, fields, replace
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

HEAVY = ("boto3", "duckdb", "matplotlib", "numpy", "openpyxl", "pandas", "polars", "pyarrow", "pyspark", "scipy",
         "seaborn", "sklearn", "snowflake", "tensorflow", "torch", "transformers", "xgboost")  # fmt: skip

# So many characters of an id are taken for a slip.
_TWO = 2


class ConfigError(ValueError):
    """A setting or an argument that is not valid."""


@dataclass(frozen=True)
class Settings:
    """Which rules check which files.

    :param select: ids of rules, or their beginnings. Default: all rules that are on.
    :param extend_select: more of them.
    :param ignore: ids of rules that don't check.
    :param exclude: globs of files that are not checked.
    :param per_file_ignores: by glob, ids that are left out there.
    :param environments: folders whose files are copies by intention.
    :param heavy_modules: what MAP110 calls heavy.
    :param parse_time_sources: more calls that MAP107 reports: `Variable.get`.
    """

    select: tuple[str, ...] = ()
    extend_select: tuple[str, ...] = ()
    ignore: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()
    per_file_ignores: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    environments: tuple[str, ...] = ()
    heavy_modules: tuple[str, ...] = HEAVY
    parse_time_sources: tuple[str, ...] = ()

    def wanted(self, rules: Mapping[str, bool]) -> set[str]:
        """Return which rules look, of those that there are and whether each is on by default."""
        chosen = {id_ for id_, on in rules.items() if (_begins(id_, self.select) if self.select else on)}
        chosen |= {id_ for id_ in rules if _begins(id_, self.extend_select)}
        return {id_ for id_ in chosen if not _begins(id_, self.ignore)}

    def ignored(self, path: str, rule: str) -> bool:
        """Tell whether a rule is left out of a file."""
        return any(_begins(rule, ids) for glob, ids in self.per_file_ignores.items() if matches(path, glob))


def read(folder: Path, rules: Iterable[str]) -> tuple[Settings, Path | None]:
    """Return the settings of the project that a folder is in, and its pyproject.toml.

    :param rules: the ids that there are.
    :raises ConfigError: if it can't be read, or says something that there is not.
    """
    for one in (folder, *folder.parents):
        file = one / "pyproject.toml"
        if file.is_file():
            text = file.read_text(encoding="utf-8-sig", errors="replace")
            if "mapping-kit" not in text:
                return Settings(), file
            return _settings(_parsed(text, file), file, list(rules)), file
    return Settings(), None


def with_arguments(settings: Settings, rules: Iterable[str], **given: tuple[str, ...]) -> Settings:
    """Return settings with arguments of the command line in their place, where there are some.

    :raises ConfigError: naming an id that there is not.
    """
    known = list(rules)
    chosen: dict[str, Any] = {name: ids for name, ids in given.items() if ids}
    for name, ids in given.items():
        check_ids(f"--{name.replace('_', '-')}", ids, known)
    return replace(settings, **chosen)


def check_ids(what: str, ids: Iterable[str], known: Iterable[str]) -> None:
    """Check that there are rules of these ids, or that begin so.

    :raises ConfigError: naming one that there is not, and near ones.
    """
    all_ids = list(known)
    for one in ids:
        if not any(id_.startswith(one) for id_ in all_ids):
            near = _near(one, all_ids)
            hint = f" Did you mean {' or '.join(near)}?" if near else f" The rules are {', '.join(all_ids)}."
            raise ConfigError(f"{what}: there is no rule {one!r}.{hint}")


def _near(wrong: str, ids: Iterable[str]) -> list[str]:
    """Return the ids that differ least from one that there is not, if that is in two characters at most."""
    distances = {id_: sum(a != b for a, b in itertools.zip_longest(wrong, id_)) for id_ in ids}
    least = min(distances.values())
    return [id_ for id_, distance in distances.items() if distance == least <= _TWO][:3]


def matches(path: str, glob: str) -> bool:
    """Tell whether a path, or a folder that it is in, is what a glob means: `tests/*`, `legacy`, `*_old.py`."""
    parts = path.replace("\\", "/").split("/")
    heads = ["/".join(parts[:end]) for end in range(1, len(parts) + 1)]
    return any(fnmatch.fnmatch(head, glob.rstrip("/")) for head in heads) or any(
        fnmatch.fnmatch(part, glob) for part in parts
    )


def _settings(table: Mapping[str, Any], file: Path, rules: list[str]) -> Settings:
    known = {one.name.replace("_", "-"): one.name for one in fields(Settings)}
    found: dict[str, Any] = {}
    for key, value in table.items():
        if key not in known:
            near = difflib.get_close_matches(key, known, n=1)
            hint = f" Did you mean {near[0]!r}?" if near else f" The settings are {', '.join(known)}."
            raise ConfigError(f"{file}: [tool.mapping-kit.lint] has no setting {key!r}.{hint}")
        if key == "per-file-ignores":
            if not isinstance(value, dict) or not all(_are_texts(ids) for ids in value.values()):
                raise ConfigError(f'{file}: per-file-ignores is {value!r}: write "tests/*" = ["MAP001"].')
            found[known[key]] = {glob: tuple(ids) for glob, ids in value.items()}
            for ids in value.values():
                check_ids(f"{file}: {key}", ids, rules)
            continue
        if not _are_texts(value):
            raise ConfigError(f"{file}: {key} is {value!r}: write a list of strings.")
        if key in {"select", "extend-select", "ignore"}:
            check_ids(f"{file}: {key}", value, rules)
        found[known[key]] = tuple(value)
    return Settings(**found)


def _are_texts(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(one, str) for one in value)


def _begins(id_: str, beginnings: Iterable[str]) -> bool:
    return any(id_.startswith(one) for one in beginnings)


def _parsed(text: str, file: Path) -> dict[str, Any]:
    toml = _toml()
    if toml is None:
        if "[tool.mapping-kit" not in text:
            return {}
        raise ConfigError(
            f"{file}: Python 3.10 can't read TOML. Install tomli, or run the lint on Python 3.11 or later."
        )
    try:
        table: dict[str, Any] = toml.loads(text)
    except ValueError as error:
        raise ConfigError(f"{file}: it is not valid TOML: {error}") from None
    for name in ("tool", "mapping-kit", "lint"):
        table = table.get(name, {})
        if not isinstance(table, dict):
            raise ConfigError(f"{file}: [tool.mapping-kit.lint] is not a table.")
    return table


def _toml() -> Any:
    name = next((one for one in ("tomllib", "tomli") if importlib.util.find_spec(one)), None)
    return None if name is None else importlib.import_module(name)
