"""The program: its commands, its exit statuses, and errors as one readable sentence."""

from __future__ import annotations

import sys

import click

from airflow_mapping_kit import __version__
from airflow_mapping_kit.cli.failures import FAILED, Failure, said_of
from airflow_mapping_kit.cli.lint import lint
from airflow_mapping_kit.cli.migrate import migrate
from airflow_mapping_kit.cli.partitions import partitions
from airflow_mapping_kit.cli.plan import plan
from airflow_mapping_kit.cli.retry import retry
from airflow_mapping_kit.cli.run import run
from airflow_mapping_kit.cli.status import status
from airflow_mapping_kit.failures import traceback_of

_WIDTH = {"max_content_width": 80, "help_option_names": ["-h", "--help"]}


@click.group(context_settings=_WIDTH)
@click.version_option(__version__, prog_name="mapping-kit")
def commands() -> None:
    """See what mapped tasks will do and what they did, and run again only what failed.

    \b
    mapping-kit lint dags                         before a DAG file is deployed
    mapping-kit migrate main.py sub.py poll.py    one DAG in place of three
    mapping-kit plan flights                      before a run
    mapping-kit partitions flights                over all runs
    mapping-kit status flights latest --failed    after it
    mapping-kit retry flights latest              only what failed
    mapping-kit run set ship latest ship --pause  while it runs

    Run it where Airflow is installed, with Airflow's settings; lint and
    migrate need no Airflow.
    partitions, status, retry and run can use Airflow's REST API in place of the
    metadata database: --api.

    \b
    Exit status:
      0  all is well
      1  something is wrong: pieces failed or are not loaded, a plan is longer
         than --max or impossible, or you answered a question with no
      2  there is no answer: wrong usage, an unknown name, no database
    """  # noqa: D301 -- click's mark for lines that stay lines


for _command in (lint, migrate, plan, partitions, status, retry, run):
    commands.add_command(_command)


def main() -> None:
    """Run the command line, and exit with its status."""
    try:
        status = commands.main(prog_name="mapping-kit", standalone_mode=False)
        # A pipe's reader may have had enough: better found out here than when the interpreter ends.
        sys.stdout.flush()
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except (click.Abort, KeyboardInterrupt):
        click.echo("Nothing was done.", err=True)
        sys.exit(FAILED)
    except BrokenPipeError:
        sys.stderr.close()
        sys.exit(0)
    except Exception as error:  # noqa: BLE001 -- whatever it is, the exit status is not that of an answer
        message = said_of(error)
        if message is None:
            from airflow_mapping_kit.compat import redacted

            click.echo(traceback_of(error, redacted, since=error.__traceback__), err=True)
        else:
            Failure(message).show()
        sys.exit(Failure.exit_code)
    sys.exit(status or 0)
