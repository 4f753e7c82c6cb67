"""`mapping-kit lint`: find mistakes in DAG files; Airflow is not imported."""

from __future__ import annotations

import click


# Options and help are those of `python -m airflow_mapping_kit.lint`: said once, there.
@click.command(
    add_help_option=False, context_settings={"ignore_unknown_options": True, "allow_interspersed_args": False}
)
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
def lint(arguments: tuple[str, ...]) -> int:
    """Find mistakes in DAG files that lose data, without running them."""
    from airflow_mapping_kit.lint.program import main

    return main(arguments)
