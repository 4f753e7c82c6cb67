"""The code blocks of the documentation: where they are, and the files that some of them are taken from.

`python dev/doc_blocks.py` writes the files' text into those blocks.
"""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PAGES = sorted([ROOT / "README.md", *ROOT.glob("docs/**/*.md")])

BLOCK = re.compile(
    r"(?P<head>(?:<!-- from (?P<file>\S+?)(?: region (?P<region>\w+))? -->\n)?^```(?P<language>\w*)\n)"
    r"(?P<text>.*?)^```$",
    re.MULTILINE | re.DOTALL,
)


def source(block: re.Match[str]) -> str:
    """Return the text of the file, or the region of it, that a block is taken from."""
    text = (ROOT / block["file"]).read_text()
    if block["region"] is None:
        return text
    name = re.escape(block["region"])
    inside = re.search(rf"^ *# \[START {name}\]\n(.*?)^ *# \[END {name}\]$", text, re.MULTILINE | re.DOTALL)
    if inside is None:
        raise LookupError(f"{block['file']} has no region {block['region']}: mark it with [START] and [END].")
    return inside[1].rstrip() + "\n"


def main() -> None:
    """Write the files' text into the blocks that are taken from them."""
    for page in PAGES:
        old = page.read_text()
        new = BLOCK.sub(lambda b: b[0] if b["file"] is None else f"{b['head']}{source(b)}```", old)
        if new != old:
            page.write_text(new)
            print(page.relative_to(ROOT))


if __name__ == "__main__":
    main()
