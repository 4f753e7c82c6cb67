"""The pages of the lint's rules in the site: a hook of mkdocs.

They are in the package, since `mapping-kit lint --explain` shows them. The site has each as `rules/MAP001.md`, below
the table that names it; the links of that table lead to the files, where people read the documentation as Markdown.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from mkdocs.structure.files import File, Files

PAGES = Path(__file__).parents[1] / "airflow_mapping_kit" / "lint" / "pages"
AS_FILES = "../airflow_mapping_kit/lint/pages/"
IN_THE_SITE = "rules/"


def on_config(config: Any) -> Any:
    """Have `mkdocs serve` see changes of the pages, and the menu name them."""
    config.watch.append(str(PAGES))
    rules = {"Lint: its rules": [f"{IN_THE_SITE}{path.name}" for path in sorted(PAGES.glob("*.md"))]}
    at = next(number for number, entry in enumerate(config.nav) if "Reference" in entry)
    config.nav.insert(at, rules)
    return config


def on_files(files: Files, config: Any) -> Files:
    """Add the pages."""
    for path in sorted(PAGES.glob("*.md")):
        files.append(File.generated(config, f"{IN_THE_SITE}{path.name}", content=path.read_text()))
    return files


def on_page_markdown(markdown: str, **_: Any) -> str:
    """Have links lead to the pages where they are in the site."""
    return markdown.replace(f"({AS_FILES}", f"({IN_THE_SITE}")
