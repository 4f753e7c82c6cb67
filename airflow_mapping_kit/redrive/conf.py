"""What a run is told so that it loads just some partitions: the `conf` of the form that `reload_params` makes."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from airflow_mapping_kit.exceptions import MappingKitError
from airflow_mapping_kit.partitions import date_range
from airflow_mapping_kit.partitions.periods import parse_period
from airflow_mapping_kit.partitions.selection import selection_of
from airflow_mapping_kit.partitions.windows import period_window
from airflow_mapping_kit.partitions.zones import load_zone

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from airflow_mapping_kit.history import History
    from airflow_mapping_kit.history.forms import Form

# As in `reload`, which is above: what its Params are known by, and the field that takes a selection.
_MARK = "x-mapping-kit"
_SELECT = "select"


class CannotTellError(Exception):
    """The DAG can't be told to load just these partitions; the text says why, and what to do."""


@dataclass(frozen=True)
class Told:
    """What the runs of a DAG can be told.

    :param plan: how `reload_partitions` makes a plan of it.
    :param every: the length of a period.
    :param fields: the dimensions that the form has a field for.
    :param selects: whether it takes a selection.
    """

    plan: Form
    every: str
    fields: frozenset[str]
    selects: bool

    @classmethod
    def of(cls, found: History) -> Told:
        """Return what the runs of a history's DAG can be told.

        :raises CannotTellError: if they can't be told which partitions to load.
        """
        from airflow.configuration import conf as settings

        dag, plan = found.target.mapped.dag, found.target.form
        marks = {name: dag.params.get_param(name).schema.get(_MARK) for name in dag.params}
        if plan is None or marks.get("mode") != "form":
            raise CannotTellError(
                f"{found.dag_id} can't be told which partitions to load, since it has no form of reload_params: "
                f"give it one, params=reload_params(...) and reload_partitions(), or start its runs by hand."
            )
        if not settings.getboolean("core", "dag_run_conf_overrides_params", fallback=True):
            raise CannotTellError(
                "Runs of this Airflow ignore their conf, because [core] dag_run_conf_overrides_params is off. "
                "Switch it on, or start the runs by hand."
            )
        period = next((one for one in found.dimensions if one.name == plan.dimension), None)
        if plan.every is None or period is None:
            raise CannotTellError(
                f"Only a run of {found.dag_id} knows the dates of the missing partitions of {found.target.name}: "
                "start it by hand, in mode custom."
            )
        fields = frozenset(name for name, mark in marks.items() if isinstance(mark, list))
        return cls(plan, plan.every, fields, marks.get(_SELECT) == "form")

    def rectangle(self, values: Mapping[str, Sequence[str]]) -> dict[str, Any] | None:
        """Return what loads every combination of some values, `None` where more would be loaded.

        :param values: the values of each dimension.
        """
        periods = values[self.plan.dimension]
        dates = self._dates(periods)
        try:
            loaded = date_range(
                dates["start_date"], dates["end_date"], every=self.every, timezone=self.plan.zone
            )
        except MappingKitError:
            return None
        others = {name: list(chosen) for name, chosen in values.items() if name != self.plan.dimension}
        # Of what has no field all values are loaded, which only a run may know.
        unsaid = {name: self.plan.values.get(name, ()) for name in others.keys() - self.fields}
        exact = set(loaded) == set(periods)
        if any(not every or not set(every) <= set(others[name]) for name, every in unsaid.items()) or not (
            exact or (self.selects and set(periods) <= set(loaded))
        ):
            return None
        conf = {
            "mode": "custom",
            **dates,
            **{name: chosen for name, chosen in others.items() if name in self.fields},
        }
        if not exact:
            dimension = self.plan.dimension
            conf[_SELECT] = str(selection_of({dimension: periods}, [(dimension, loaded)]))
        return conf

    def named(self, found: History, cells: Sequence[int]) -> dict[str, Any]:
        """Return what loads some partitions one by one, whatever they have in common."""
        partitions = [found.partition(cell) for cell in cells]
        of_fields = {
            one.name: {partition[one.name] for partition in partitions}
            for one in found.dimensions
            if one.name in self.fields
        }
        return {
            "mode": "custom",
            **self._dates(one[self.plan.dimension] for one in partitions),
            **{
                one.name: [value for value in one.values if value in of_fields[one.name]]
                for one in found.dimensions
                if one.name in of_fields
            },
            _SELECT: ",".join(_quoted(found.key(cell)) for cell in cells),
        }

    def _dates(self, periods: Iterable[str]) -> dict[str, str]:
        """Return the first and the last date of some periods."""
        zone = load_zone(self.plan.zone)
        first, last = [], []
        for key in set(periods):
            period = parse_period(key)
            if period is None:
                raise CannotTellError(f"{key!r} is no period, so no run can be told to load it.")
            begin, end = period_window(period, self.every, zone)
            first.append(begin.astimezone(zone).date())
            last.append(max(begin, end - timedelta(microseconds=1)).astimezone(zone).date())
        return {"start_date": min(first).isoformat(), "end_date": max(last).isoformat()}


def _quoted(key: str) -> str:
    """Return a key as a selection takes it, whatever is in it."""
    doubled = key.replace('"', '""')
    return f'"{doubled}"'
