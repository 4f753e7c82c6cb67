"""What the package's page on an index shows, if the build knows where the repository is: a hook of hatchling.

The sources name no repository. A release says which it is, as `make dist REPOSITORY=https://github.com/owner/name`:
the page then leads to the files of the released version. An sdist keeps that in its PKG-INFO, which hatchling reads.
"""

from __future__ import annotations

import os
import re
from pathlib import Path, PurePosixPath
from typing import Any

from hatchling.metadata.plugin.interface import MetadataHookInterface

VARIABLE = "MAPPING_KIT_REPOSITORY"
CODE = re.compile(r"(^```.*?^```$)", re.MULTILINE | re.DOTALL)
RELATIVE = re.compile(r"\]\((?!\w+:|#)([^)\s]+)")
IMAGES = {".png", ".svg"}


class MetadataHook(MetadataHookInterface):
    """Set the project's links, and have those of the README lead somewhere where it stands alone."""

    def update(self, metadata: dict[str, Any]) -> None:
        """Add `readme` and `urls`; an sdist has both."""
        if "readme" in metadata:
            return
        text = (Path(self.root) / "README.md").read_text(encoding="utf-8")
        repository = os.environ.get(VARIABLE, "").rstrip("/")
        if repository:
            if not re.fullmatch(r"https://[\w.:-]+(/[\w.-]+)+", repository):
                raise ValueError(
                    f"{VARIABLE} is {repository!r}: it has to be the repository's address, https://github.com/owner/name."
                )
            tag = f"v{metadata['version']}"
            text = absolute(text, repository, tag)
            metadata["urls"] = {
                "Documentation": f"{repository}/blob/{tag}/docs/index.md",
                "Source": repository,
                "Changelog": f"{repository}/blob/{tag}/CHANGELOG.md",
                "Issues": f"{repository}/issues",
            }
        metadata["readme"] = {"content-type": "text/markdown", "text": text}


def absolute(text: str, repository: str, tag: str) -> str:
    """Return Markdown whose relative links lead into a repository as it was at a tag.

    >>> absolute("[duckdb](docs/duckdb.md#parameters)", "https://github.com/owner/name", "v1.2.3")
    '[duckdb](https://github.com/owner/name/blob/v1.2.3/docs/duckdb.md#parameters)'
    """

    def lead(link: re.Match[str]) -> str:
        kind = "raw" if PurePosixPath(link[1]).suffix in IMAGES else "blob"
        return f"]({repository}/{kind}/{tag}/{link[1]}"

    # What stands between the blocks of code, which stay as they are.
    parts = CODE.split(text)
    parts[::2] = [RELATIVE.sub(lead, part) for part in parts[::2]]
    return "".join(parts)
