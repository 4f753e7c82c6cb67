"""What can't be written."""

from __future__ import annotations


class Refused(Exception):  # noqa: N818 -- it is no error of the program
    """DAGs of which no one DAG can be written; the text says why and what to do, in a sentence."""
