"""`mapping-kit migrate`: one DAG with a mapped task in place of several DAGs; Airflow is not imported."""

from __future__ import annotations

import click


# Options and help are said once, where they are read.
@click.command(
    add_help_option=False, context_settings={"ignore_unknown_options": True, "allow_interspersed_args": False}
)
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
def migrate(arguments: tuple[str, ...]) -> int:
    """Write one DAG in place of several."""
    from airflow_mapping_kit.lint.migrate.program import main

    return main(arguments)
