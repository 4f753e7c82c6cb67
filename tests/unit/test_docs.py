"""Every block of Python in the documentation runs, or is the text of a file that the tests run."""

from __future__ import annotations

import ast
import doctest
import importlib
import inspect
import re

import pytest

import airflow_mapping_kit.fan_in
import airflow_mapping_kit.generators
import airflow_mapping_kit.partitions
import airflow_mapping_kit.task_groups
from airflow_mapping_kit import exceptions
from airflow_mapping_kit.provider_info import get_provider_info
from doc_blocks import BLOCK, PAGES, ROOT, source

REFERENCE = ROOT / "docs" / "reference"

LINK = re.compile(r"\]\((?!https?://|#)(?P<path>[^)#\s]+)")


def blocks(*languages):
    for page in PAGES:
        for block in BLOCK.finditer(page.read_text()):
            if block["language"] in languages:
                line = page.read_text()[: block.start()].count("\n") + 1
                yield pytest.param(block, id=f"{page.relative_to(ROOT)}:{line}")


@pytest.mark.parametrize("block", [b for b in blocks("python", "sql", "") if b.values[0]["file"]])
def test_a_block_that_is_taken_from_a_file_is_what_the_file_says(block):
    assert block["text"] == source(block), "run: make format"


@pytest.mark.parametrize("block", [b for b in blocks("python") if not b.values[0]["file"]])
def test_a_block_of_python_runs(block):
    exec(compile(block["text"], "documentation", "exec", dont_inherit=True), {"__name__": "documentation"})


@pytest.mark.parametrize(
    "page", [p for p in PAGES if "```pycon" in p.read_text()], ids=lambda page: page.name
)
def test_the_sessions_of_a_page_print_what_it_shows(page):
    text = "".join(b["text"] for b in BLOCK.finditer(page.read_text()) if b["language"] == "pycon")
    test = doctest.DocTestParser().get_doctest(text, {}, page.name, None, 0)
    report = []
    doctest.DocTestRunner(optionflags=doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE).run(
        test, out=report.append
    )
    assert not report, "".join(report)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_a_link_leads_somewhere(page):
    for link in LINK.finditer(page.read_text()):
        assert (page.parent / link["path"]).exists(), link["path"]


TEST = re.compile(r"`(?P<path>tests/[\w/]+\.py)(?:::\w+)*?(?:::(?P<name>\w+))?`")


@pytest.mark.parametrize(
    "page", [p for p in PAGES if TEST.search(p.read_text())], ids=lambda page: str(page.relative_to(ROOT))
)
def test_a_test_that_is_named_as_proof_exists(page):
    for proof in TEST.finditer(page.read_text()):
        tree = ast.parse((ROOT / proof["path"]).read_text())
        names = {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)}
        assert proof["name"] in names, proof[0]


def test_every_cell_of_the_comparison_names_what_proves_it():
    page = (ROOT / "docs" / "processor_sender.md").read_text()
    section = page.partition("## What each does")[2].partition("\n## ")[0]
    rows = re.findall(r"^\| \*\*.*", section, re.MULTILINE)
    cells = [cell for row in rows for cell in row.strip("| ").split(" | ")[1:]]
    proofs = {number for cell in cells for number in re.findall(r"\[(\d+)\]", cell)}
    assert len(cells) == 5 * len(rows)
    assert all(re.search(r"\[\d+\]$", cell) for cell in cells)
    assert proofs == set(
        re.findall(r"^(\d+)\. ", page.partition("lock up")[2].partition("## The way")[0], re.MULTILINE)
    )


def test_every_dag_has_a_page_that_shows_it():
    for dag in sorted(ROOT.glob("dags/*.py")):
        page = ROOT / "docs" / "dags" / f"{dag.stem}.md"
        assert f"<!-- from dags/{dag.name}" in page.read_text()


def test_every_generator_has_a_page_with_its_reference():
    for name in set(airflow_mapping_kit.generators.__all__) - {"generator"}:
        page = ROOT / "docs" / "generators" / f"{name}.md"
        assert f"::: airflow_mapping_kit.generators.{name}\n" in page.read_text()


@pytest.mark.parametrize("module", ["partitions", "generators", "task_groups", "fan_in"])
def test_every_public_name_is_in_the_reference(module):
    names = set(getattr(airflow_mapping_kit, module).__all__) - {"CollectOperator"}
    (row,) = [line for line in (REFERENCE / "index.md").read_text().splitlines() if f"kit.{module}`" in line]
    assert names == set(re.findall(r"`(\w+)`", row))


# A table of what an operator takes, above its reference.
PARAMETERS = re.compile(
    r"^\| parameter \| type \| default \|.*\n\|[-|]+\n(?P<rows>(?:\|.*\n)+)\n::: (?P<path>\S+)", re.MULTILINE
)


@pytest.mark.parametrize(
    "table",
    [
        pytest.param(table, id=table["path"].rpartition(".")[2])
        for page in PAGES
        for table in PARAMETERS.finditer(page.read_text())
    ],
)
def test_a_table_of_parameters_has_all_of_them_with_their_defaults(table):
    module, _, name = table["path"].rpartition(".")
    taken = inspect.signature(getattr(importlib.import_module(module), name)).parameters.values()
    shown = re.findall(r"^\| `(\w+)` \| [^|]+ \| (?:`(.+?)`|required) \|", table["rows"], re.MULTILINE)
    assert {
        name: ast.literal_eval(default) if default else inspect.Parameter.empty for name, default in shown
    } == {
        parameter.name: parameter.default
        for parameter in taken
        if parameter.kind in (parameter.KEYWORD_ONLY, parameter.POSITIONAL_OR_KEYWORD)
    }
    assert len(shown) == table["rows"].count("\n")


@pytest.mark.parametrize(
    ("page", "path"),
    [
        ("duckdb", "duckdb.DuckDBPartitionOperator"),
        ("child_runs", "dagrun.TriggerDagRunPerItemOperator"),
        ("batches", "batched.BatchedOperator"),
    ],
)
def test_a_page_says_of_all_that_an_operator_takes_its_type_and_default(page, path):
    module, name = path.split(".")
    operator = getattr(importlib.import_module(f"airflow_mapping_kit.operators.{module}"), name)
    taken = {
        one.name for one in inspect.signature(operator).parameters.values() if one.kind is one.KEYWORD_ONLY
    }
    text = (ROOT / "docs" / f"{page}.md").read_text()
    _, _, table = re.split(
        r"^\| (parameter|argument|setting) \| type \| default \|", text, maxsplit=1, flags=re.MULTILINE
    )
    named = re.findall(r"^\| (`[^|]+) \| [^|]+ \| ", table.partition("\n\n")[0], re.MULTILINE)
    assert set(re.findall(r"`(\w+)`", " ".join(named))) == taken - {"python_callable"}


def test_every_error_is_in_the_reference():
    named = re.findall(r"^\| `(\w+)`", (REFERENCE / "exceptions.md").read_text(), re.MULTILINE)
    assert set(named) == {name for name in vars(exceptions) if name.endswith("Error")}


def test_every_setting_is_in_the_reference_with_its_default():
    page = (REFERENCE / "settings.md").read_text()
    for name, option in get_provider_info()["config"]["mapping_kit"]["options"].items():
        assert f"| `{name}` | {_shown(option)}" in page


def _shown(option):
    return f"`{option['default']}`" if option["default"] else "empty"
