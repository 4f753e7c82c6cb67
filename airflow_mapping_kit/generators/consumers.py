"""What maps over a plan, and what it can take."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airflow_mapping_kit.compat import KNOWN_CONTEXT_KEYS, expand_input_of, is_taskflow, xcom_kind
from airflow_mapping_kit.exceptions import PartitionError

if TYPE_CHECKING:
    from collections.abc import Collection


def longest_map() -> int:
    """Return how many pieces Airflow maps over at most, where a task of one's own returns them."""
    from airflow.configuration import conf

    return int(conf.getint("core", "max_map_length", fallback=1024))


def takes_arguments(mapped: Any) -> bool:
    """Tell whether a task or a group is mapped by `expand_kwargs`: what a piece holds are its arguments."""
    return not isinstance(_mapped_over(mapped), dict)


def refuse_context_names(mapped: Any, plan: Collection[Any]) -> None:
    """Refuse pieces of which a TaskFlow function would get arguments that Airflow passes itself.

    :raises PartitionError: naming the function's task and the argument.
    """
    # What goes through `.map()` is not yet what the function gets.
    if not is_taskflow(mapped) or xcom_kind(_mapped_over(mapped)) != "plain":
        return
    for name in dict.fromkeys(name for piece in plan if isinstance(piece, dict) for name in piece):
        if name in KNOWN_CONTEXT_KEYS:
            raise PartitionError(
                f"{mapped.task_id} is mapped by expand_kwargs, and {name!r} cannot be an argument: Airflow passes "
                f"its own {name!r} to every function. Rename it, e.g. {name + '_key'!r}, or map over whole "
                f"pieces, {mapped.task_id}.expand(partition=...)."
            )


def _mapped_over(mapped: Any) -> Any:
    return getattr(expand_input_of(mapped), "value", None)
