"""What an experiment is, and all that there are, by name."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from random import Random

    from chaos.cluster import Cluster
    from chaos.verdict import Seen

    Run = Callable[[Cluster, Random, str], Iterable[Seen]]


@dataclass(frozen=True)
class Experiment:
    """One experiment.

    :param name: what it is chosen by.
    :param said: what happens in it, as the table says.
    :param group: the experiments that share a cluster.
    :param alone: whether it strikes what others need; those that don't run side by side.
    :param run: lets the fault loose: given the cluster, what makes its choices, and the id of its runs.
    """

    name: str
    said: str
    group: str
    alone: bool
    run: Run


EXPERIMENTS: dict[str, Experiment] = {}


def experiment(name: str, said: str, *, group: str = "celery", alone: bool = True) -> Callable[[Run], Run]:
    """Make an experiment of a function."""

    def made(run: Run) -> Run:
        EXPERIMENTS[name] = Experiment(name, said, group, alone, run)
        return run

    return made
