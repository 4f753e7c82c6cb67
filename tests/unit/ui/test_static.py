"""The page's files, which no build looks at: what they load is there, and says the same as Python does."""

from __future__ import annotations

import re

import pytest

from airflow_mapping_kit import printable
from airflow_mapping_kit.history import LETTERS
from airflow_mapping_kit.partitions import partition_key
from airflow_mapping_kit.ui.files import STATIC

MODULES = sorted(STATIC.glob("*.js"))
IMPORT = re.compile(r'^import (?:(?P<names>\{[^}]+\}|\* as \w+) from )?"(?P<file>[^"]+)";$', re.MULTILINE)


def text_of(name):
    return (STATIC / name).read_text(encoding="utf-8")


def character_class(source, name):
    """The characters of a class in a script's regular expression, as Python writes them."""
    found = re.search(rf"{name} =\s*/(\[.+\])/", source)[1]
    return re.compile(re.sub(r"\\u\{(\w+)\}", lambda code: chr(int(code[1], 16)), found))


@pytest.mark.parametrize("module", MODULES, ids=lambda path: path.name)
def test_what_a_module_imports_is_beside_it_and_has_that_name(module):
    for found in IMPORT.finditer(module.read_text(encoding="utf-8")):
        assert found["file"].startswith("./")
        source = text_of(found["file"])
        names = found["names"] or ""
        for name in [] if names.startswith("*") else re.findall(r"\w+", names):
            assert re.search(rf"export (async )?(function|class|const) {name}\b", source), (
                found["file"],
                name,
            )


def test_every_module_is_loaded_by_the_page():
    entries = {"partitions.js", "react.js"}
    imported = {
        found["file"].removeprefix("./") for path in MODULES for found in IMPORT.finditer(path.read_text())
    }
    assert {path.name for path in MODULES} == imported | entries


@pytest.mark.parametrize("file", sorted(STATIC.iterdir()), ids=lambda path: path.name)
def test_no_file_makes_html_of_text_or_loads_from_elsewhere(file):
    text = file.read_text(encoding="utf-8")
    for bad in ("innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval(", "new Function"):
        assert bad not in text
    assert not re.search(r"https?://|@import|url\(", text)


def test_the_page_escapes_the_characters_that_a_terminal_is_spared():
    controls = character_class(text_of("text.js"), "CONTROLS")
    for code in [*range(0x11000), *range(0xE0000, 0xE0100)]:
        char = chr(code)
        # A script sees whole characters, so halves of pairs are only those that stand alone.
        assert bool(controls.match(char)) == bool(printable._CONTROLS.match(char)), hex(code)


def test_the_page_writes_keys_as_the_kit_does():
    odd = character_class(text_of("keys.js"), "ODD")
    for code in range(1, 0x250):
        assert bool(odd.match(chr(code))) == ("%" in partition_key({"x": chr(code)})), hex(code)


def test_the_page_knows_every_state_by_its_letter_and_its_word():
    words = dict(re.findall(r'^  (\w): \{ word: "([^"]+)"', text_of("states.js"), re.MULTILINE))
    assert {letter: word.replace(" ", "_") for letter, word in words.items()} == LETTERS
