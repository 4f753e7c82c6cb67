"""The question before something is done."""

from __future__ import annotations

import sys

import click


def agreed(question: str, *, err: bool) -> None:
    """Ask whether something may be done.

    :param err: whether the output is for a program, so that the question goes elsewhere.
    :raises click.Abort: if it may not, or nobody is there to answer.
    """
    if sys.stdin is None:
        # Closed, as a scheduler of jobs may start a command.
        raise click.Abort
    click.confirm(question, abort=True, err=err)
