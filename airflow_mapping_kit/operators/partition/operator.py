"""What a partition, or a batch of them, is to an operator that runs a query for each."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from airflow_mapping_kit.assets import mark_changed
from airflow_mapping_kit.checkpoints.owners import giving_way, owner_of
from airflow_mapping_kit.checkpoints.parts import rows_of
from airflow_mapping_kit.compat import AirflowSkipException, sql_of
from airflow_mapping_kit.exceptions import PartitionError, QueryError
from airflow_mapping_kit.lineage import collected
from airflow_mapping_kit.lineage.done import Done, counted
from airflow_mapping_kit.operators.checked import CheckedOperator
from airflow_mapping_kit.operators.partition.batch import published_each
from airflow_mapping_kit.partitions.parameters import PeriodOf
from airflow_mapping_kit.partitions.sequences import shown
from airflow_mapping_kit.partitions.windows import check_cadence
from airflow_mapping_kit.partitions.zones import load_zone
from airflow_mapping_kit.plans.held import batch_of
from airflow_mapping_kit.plans.slices import Slice
from airflow_mapping_kit.reading import of_task
from airflow_mapping_kit.reading.records import ITEMS_KEY
from airflow_mapping_kit.results import PART, SUCCESS

if TYPE_CHECKING:
    from collections.abc import Iterable

    from airflow.utils.context import Context
    from jinja2 import Environment

    from airflow_mapping_kit.lineage.datasets import Lineage
    from airflow_mapping_kit.operators.partition.addresses import Address
    from airflow_mapping_kit.operators.partition.batch import Publish
    from airflow_mapping_kit.results import ItemRow, PartSummary

_ON_EMPTY = ("fail", "skip", "replace")


class PartitionOperator(CheckedOperator):
    """Run one query for a partition, or for each of a batch. Its subclasses put the rows somewhere.

    :param sql: exactly one `SELECT`, or the path of a `.sql` file that holds it
    :param partition: a dict of dimension to value, or a list of them
    :param parameters: values for parameters of the query that are no dimensions
    :param on_empty: what zero rows do: `"fail"`, `"skip"` or `"replace"`
    :param unused: dimensions that the query need not use
    :param every: how long the period lasts that the query's `start` and `end` are of
    :param timezone: whose clock it is on; `None` for that of the DAG
    :param date_dimension: the dimension that it is
    :raises QueryError: if an argument can't be
    """

    items_key = ITEMS_KEY
    keeps_what_is_done = takes_slices = True
    done: Done | None = None

    def __init__(
        self,
        *,
        sql: str,
        partition: Mapping[str, Any] | Sequence[Mapping[str, Any]],
        parameters: Mapping[str, Any] | None = None,
        on_empty: str = "fail",
        unused: Collection[str] = (),
        every: str | None = None,
        timezone: str | None = None,
        date_dimension: str = "date",
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        PartitionOperator.check_fixed(on_empty=on_empty, unused=unused, every=every, timezone=timezone)
        self.sql = sql
        self.partition = partition
        self.parameters = parameters
        self.on_empty = on_empty
        self.unused = unused
        self.every = every
        self.timezone = timezone
        self.date_dimension = date_dimension

    @classmethod
    def check_fixed(
        cls,
        *,
        on_empty: str = "fail",
        unused: Collection[str] = (),
        every: str | None = None,
        timezone: str | None = None,
        **_: Any,
    ) -> None:
        """Check the arguments of each query, whatever it is for."""
        if on_empty not in _ON_EMPTY:
            raise QueryError(
                f"on_empty={on_empty!r} is none of {', '.join(map(repr, _ON_EMPTY))}: write one of them"
            )
        check_names("unused", unused)
        if every is not None:
            check_cadence(every)
        if timezone is not None:
            load_zone(timezone)

    @staticmethod
    def batch_parameter(_: Any) -> str:
        """Return which argument may be a batch, whose partitions then count as pieces of their own."""
        return "partition"

    def lineage(self) -> Lineage:
        """Return what it reads and writes into, by the names that OpenLineage has. Asked only by who wants to know."""
        raise NotImplementedError

    def get_openlineage_facets_on_complete(self, _: Any) -> Any:
        """Return what an instance has done, for Airflow's provider for OpenLineage, which looks for this name."""
        from airflow_mapping_kit.lineage.events import operator_lineage

        return operator_lineage(self.lineage(), self.done)

    def render_template(
        self,
        content: Any,
        context: Context,
        jinja_env: Environment | None = None,
        seen_oids: set[int] | None = None,
    ) -> Any:
        """Render as Airflow does, and `sql` from its file: its `template_ext` would take values for files, too."""
        # The first field: when a value comes that is the very same text, it is rendered already.
        if content is self.sql:
            content = sql_of(content, jinja_env or self.get_template_env(), seen_oids)
        return super().render_template(content, context, jinja_env, seen_oids)

    def period_of(self, context: Context) -> PeriodOf:
        """Return what the period is that a query may ask for the bounds of."""
        return PeriodOf(self.date_dimension, self.every, self.timezone or zone_name(context.get("dag")))

    def partitions(self, context: Context) -> Sequence[Mapping[str, Any]]:
        """Return the partitions that this instance was given.

        :raises PartitionError: if what it was given is none, and no list of them
        :raises QueryError: if what became of templates is no query, or no parameters
        :raises AirflowSkipException: if the list is empty
        """
        self._check_rendered()
        given: Any = self.partition
        if Slice.of(given) is not None:
            instance: Any = context["ti"]
            given = batch_of(given, of_task(instance), instance.dag_id, instance.run_id)
        if isinstance(given, Mapping):
            return [given]
        if not isinstance(given, Sequence) or isinstance(given, str | bytes):
            raise PartitionError(
                f"partition is {shown(given)}: pass a dict such as {{'date': '2013-01-01'}}, or a list of them"
            )
        if not given:
            raise AirflowSkipException("the list of partitions is empty: nothing to do")
        return given

    def _check_rendered(self) -> None:
        if not isinstance(self.sql, str):
            raise QueryError(
                f"sql={shown(self.sql)} is no text: write one SELECT, or the path of a .sql file"
            )
        given: Any = self.parameters
        if given is not None and not (
            isinstance(given, Mapping) and all(isinstance(name, str) for name in given)
        ):
            raise QueryError(
                f"parameters={shown(given)} is no dict of names to values: write {{'source': 'web'}}, and "
                f"templates in its values"
            )

    def put_each(
        self, put: Publish, places: Sequence[Address], context: Context, *, staged: bool
    ) -> dict[str, Any] | list[dict[str, Any]]:
        """Put the partition where it belongs, or each of a batch, and return what became of them.

        :param put: does one of them; returns `None` if it has no rows and is left alone
        :param staged: whether a fan-in publishes them: until then nothing has changed
        :raises AirflowSkipException: if all are left alone
        """
        self.done = Done(staged=staged)
        try:
            with giving_way(owner_of(context)):
                return self._put_each(counted(self.done, put), places, context, staged=staged)
        finally:
            collected.tell(self)

    def _put_each(
        self, put: Publish, places: Sequence[Address], context: Context, *, staged: bool
    ) -> dict[str, Any] | list[dict[str, Any]]:
        one = Slice.of(self.partition)
        if one is None and isinstance(self.partition, Mapping):
            result = put(places[0])
            if result is None:
                raise AirflowSkipException(
                    f"partition {places[0].key} has no rows: left as it is (on_empty='skip')"
                )
            if not staged:
                mark_changed([result["key"]], context=context)
            return result
        done = published_each(put, places, one, context, verb="Staged" if staged else "Published")
        rows = done if isinstance(done, list) else self._rows(done[PART], context)
        states = Counter(row["state"] for row in done) if isinstance(done, list) else done[PART]["states"]
        if not staged:
            mark_changed((row["value"]["key"] for row in rows if row["state"] == SUCCESS), context=context)
        if not states.get(SUCCESS):
            raise AirflowSkipException(
                "no partition of the batch has rows: all left as they are (on_empty='skip')"
            )
        return [row["value"] for row in done if row["state"] == SUCCESS] if isinstance(done, list) else done

    @staticmethod
    def _rows(part: PartSummary, context: Context) -> Iterable[ItemRow]:
        instance: Any = context["ti"]
        return rows_of(part, of_task(instance), instance.dag_id, instance.run_id)


def check_names(argument: str, value: Any, error: type[Exception] = QueryError) -> None:
    """Check that an argument is a list of names.

    :raises QueryError: showing it, or what `error` says
    """
    if isinstance(value, str):
        raise error(f"{argument}={value!r} is text: write the list [{value!r}]")
    if not isinstance(value, Collection) or isinstance(value, Mapping):
        raise error(f"{argument}={shown(value)} is no list: write the names in one")
    for name in value:
        if not isinstance(name, str):
            raise error(f"{argument}={shown(value)}: {shown(name)} is no name: write text")


def zone_name(dag: Any) -> str:
    """Return the name of a DAG's zone, `UTC` without a DAG."""
    zone = getattr(dag, "timezone", None)
    return "UTC" if zone is None else getattr(zone, "name", None) or str(zone)
