"""What a mapped task would be mapped over, as far as that can be said without running a task."""

from __future__ import annotations

from copy import copy
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from airflow_mapping_kit import labels, partitions
from airflow_mapping_kit.compat import (
    DAG,
    XComArg,
    hidden_names,
    is_mapped,
    is_mapped_operator,
    running_in,
    xcom_kind,
)
from airflow_mapping_kit.exceptions import MappingKitError
from airflow_mapping_kit.generators.base import GeneratorOperator, PureGeneratorOperator
from airflow_mapping_kit.generators.sets import missing
from airflow_mapping_kit.partitions.pieces import distinct
from airflow_mapping_kit.plans.arguments import has_template
from airflow_mapping_kit.plans.batches import RETURN_VALUE, batched
from airflow_mapping_kit.plans.early_labels import Planned, fixed_arguments
from airflow_mapping_kit.plans.planned import calls_functions, key_of, sources
from airflow_mapping_kit.reading.instances import Source
from airflow_mapping_kit.reload.operator import ReloadOperator

if TYPE_CHECKING:
    from collections.abc import Mapping

    from airflow_mapping_kit.cli.imagined import Imagined
    from airflow_mapping_kit.plans.mapped import Mapped

# Functions of the kit that need nothing but their arguments.
_PURE = (partitions.batches, partitions.date_range, partitions.product, partitions.zipped, missing)


class _AtRunTime(Exception):  # noqa: N818 -- it is no error
    """Something can be known only when the run is there; the text says what."""


@dataclass(frozen=True)
class Foreseen:
    """What one mapped task or group would be mapped over.

    :param pieces: `{"map_index", "key", "label", "items"}` of each, `items` the keys of a batch's items, else
        `None`; `None` if they aren't known.
    :param known_at_run_time: why they aren't.
    :param error: why the run would fail instead.
    """

    task: str
    pieces: list[dict[str, Any]] | None = None
    known_at_run_time: str | None = None
    error: str | None = None


def foresee(mapped: Mapped, run: Imagined) -> Foreseen:
    """Return what a mapped task or group would be mapped over in a run."""
    if calls_functions(mapped.expand_input.value):
        return Foreseen(mapped.name, known_at_run_time="it is mapped through a function of yours, .map()")
    try:
        read = {source: _read(mapped.dag, source, run) for source in sources(mapped.expand_input)}
        return Foreseen(mapped.name, _pieces(mapped, read, run))
    except _AtRunTime as unknown:
        return Foreseen(mapped.name, known_at_run_time=str(unknown))
    except MappingKitError as error:
        return Foreseen(mapped.name, error=str(error))


def _pieces(mapped: Mapped, read: Mapping[Source, Any], run: Imagined) -> list[dict[str, Any]]:
    main = mapped.dag.get_task(mapped.main)
    text, fixed = labels.format_of(getattr(main, "map_index_template", None)), fixed_arguments(main)
    planned, how = Planned(main, mapped.expand_input, read.get), batched(main)
    # Airflow renders the literals of `expand`, and never what comes from an XCom.
    literal = not sources(mapped.expand_input) and is_mapped_operator(main)
    every = [_rendered(one, run) if literal and has_template(one) else one for one in planned.plan]
    pieces = []
    keys = distinct(key_of(one, mapped.expand_input.value) for one in every)
    for index, (arguments, key) in enumerate(zip(every, keys, strict=True)):
        batch = None if how is None else how.batch(arguments)
        shown = key
        if text is not None:
            plain = literal and has_template(planned.plan[index])
            shown = (
                labels.render(text, arguments, fixed, key=key, final=False, hidden=hidden_names())
                if plain
                else planned.label(text, index, fixed)
            )
        items = None
        if how is not None and batch is not None:
            items = distinct(item.key for item in how.items(arguments, batch))
        pieces.append({"map_index": index, "key": key, "label": shown, "items": items})
    return pieces


def _read(dag: Any, source: Source, run: Imagined) -> Any:
    """Return what a task would push, if it is a generator of the kit that needs only its arguments."""
    operator = dag.get_task(source.task_id)
    why = _unknown(operator, source.key)
    if why is not None:
        raise _AtRunTime(f"it is mapped over what {source.task_id} returns, {why}")
    given = dict(operator.op_kwargs)
    if isinstance(operator, ReloadOperator):
        asked = operator.asks(run.context, _resolved(given.get("only", "everything"), dag, run))
        if asked is not None:
            raise _AtRunTime(f"{source.task_id} asks {asked}")
        # Then nobody asks what is there.
        given.pop("there", None)
    arguments = _resolved(list(operator.op_args), dag, run), _resolved(given, dag, run)
    if has_template(operator.batch_size):
        operator = copy(operator)
        operator.batch_size = _resolved(operator.batch_size, dag, run)
    with running_in(run.context):
        made: list[Any] = operator.made_of(*arguments)
    return made


def _unknown(operator: Any, key: str) -> str | None:
    """Return why it isn't known what a task would push, `None` if it is."""
    if key != RETURN_VALUE:
        return f"under the key {key!r}"
    if is_mapped(operator):
        return "which is mapped itself"
    if type(operator) is ReloadOperator:
        return None
    if isinstance(operator, PureGeneratorOperator) and operator.python_callable in _PURE:
        return None
    if isinstance(operator, GeneratorOperator) and type(operator).__module__.startswith(
        f"{__package__.split('.')[0]}."
    ):
        return "which asks something outside, or is a function of yours"
    return "a task of yours"


def _resolved(value: Any, dag: Any, run: Imagined) -> Any:
    """Return an argument of a generator as it would get it: templates rendered, outputs of others in place."""
    if isinstance(value, XComArg):
        if xcom_kind(value) != "plain":
            before = ", ".join(sorted({task.task_id for task, _ in value.iter_references()}))
            raise _AtRunTime(
                f"its generator takes what is made of the output of {before}, by .map() or .zip()"
            )
        operator: Any = value.operator  # type: ignore[attr-defined]  # a plain one has it
        return _read(dag, Source(operator.task_id, value.key, is_mapped(operator)), run)  # type: ignore[attr-defined]
    if isinstance(value, dict):
        return {name: _resolved(one, dag, run) for name, one in value.items()}
    if isinstance(value, list | tuple):
        return type(value)(_resolved(one, dag, run) for one in value)
    return _rendered(value, run)


def _rendered(value: Any, run: Imagined) -> Any:
    """Return a value with its templates rendered by what is known of the run.

    Macros and filters of the DAG's author are not there: they may ask anything.
    """
    if isinstance(value, dict):
        return {name: _rendered(one, run) for name, one in value.items()}
    if isinstance(value, list | tuple):
        return type(value)(_rendered(one, run) for one in value)
    if not has_template(value):
        return value
    from jinja2 import StrictUndefined, TemplateError

    # A DAG of our own has Airflow's environment, and nothing of the author's in it.
    ours = DAG(
        "mapping_kit",
        schedule=None,
        render_template_as_native_obj=run.context["dag"].render_template_as_native_obj,
        template_undefined=StrictUndefined,
    )
    try:
        return ours.get_template_env().from_string(value).render(run.context)
    except TemplateError as error:
        raise _AtRunTime(f"the template {value} needs more than params and dates: {error}") from None
