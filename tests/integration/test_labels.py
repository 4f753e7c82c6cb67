"""Labels of finished instances, for each shape that a mapping can have."""

from __future__ import annotations

import logging
import uuid

import pendulum
import pytest
from airflow import settings

from airflow_mapping_kit.generators import batches, date_range, product
from airflow_mapping_kit.labels import label
from airflows import DAG, BaseOperator, dag, task, task_group

LABEL = label("{origin} {date}")
EVERY_PIECE = ["EWR 2013-01-01", "EWR 2013-01-02", "JFK 2013-01-01", "JFK 2013-01-02"]
EVERY_KEY = [
    "date=2013-01-01/origin=EWR",
    "date=2013-01-02/origin=EWR",
    "date=2013-01-01/origin=JFK",
    "date=2013-01-02/origin=JFK",
]


class LoadOperator(BaseOperator):
    """A classic operator with a mapped argument and one of its own."""

    template_fields = ("partition", "mark")

    def __init__(self, *, partition, mark=None, **kwargs):
        super().__init__(**kwargs)
        self.partition = partition
        self.mark = mark

    def execute(self, context):
        return self.partition


def four_partitions():
    return product(origin=["EWR", "JFK"], date=date_range("2013-01-01", "2013-01-02"))


def read(dag):
    """Do with a DAG what Airflow does when it has read its file."""
    for operator in dag.tasks:
        settings.task_policy(operator)


@pytest.fixture
def labels_of(dag_test):
    """Return a function that runs a DAG and returns the labels of its task `work`, in map-index order."""

    def run(build, work="work", **kwargs):
        @dag(dag_id=f"l{uuid.uuid4().hex}", schedule=None, start_date=pendulum.datetime(2024, 1, 1), **kwargs)
        def built():
            build()

        declared = built()
        read(declared)
        instances = dag_test(declared)
        found = sorted((index, ti) for (task_id, index), ti in instances.items() if task_id == work)
        assert {ti.state for _, ti in found} == {"success"}
        return [ti.rendered_map_index for _, ti in found]

    return run


@task(map_index_template=LABEL)
def work(partition): ...


class TestShapes:
    def test_a_taskflow_task_by_keyword(self, labels_of):
        assert labels_of(lambda: work.expand(partition=four_partitions())) == EVERY_PIECE

    def test_a_classic_operator(self, labels_of):
        def build():
            LoadOperator.partial(
                task_id="work", mark="{{ 'M' ~ 1 }}", map_index_template=label("{mark} {origin} {date}")
            ).expand(partition=four_partitions())

        assert labels_of(build) == [f"M1 {piece}" for piece in EVERY_PIECE]

    def test_expand_kwargs(self, labels_of):
        @task(map_index_template=LABEL)
        def work(origin, date): ...

        assert labels_of(lambda: work.expand_kwargs(four_partitions())) == EVERY_PIECE

    def test_expand_kwargs_without_a_format_gives_the_key(self, labels_of):
        @task(map_index_template=label())
        def work(origin, date, model): ...

        assert labels_of(lambda: work.partial(model="M").expand_kwargs(four_partitions())) == EVERY_KEY

    def test_expand_kwargs_of_a_classic_operator(self, labels_of):
        def build():
            arguments = four_partitions().map(lambda partition: {"partition": partition})
            LoadOperator.partial(task_id="work", mark="m", map_index_template=label()).expand_kwargs(
                arguments
            )

        assert labels_of(build) == EVERY_KEY

    def test_a_cross_product(self, labels_of):
        @task(map_index_template=label("{o[origin]} on {d}"))
        def work(o, d): ...

        def build():
            work.expand(o=product(origin=["EWR", "JFK"]), d=date_range("2013-01-01", "2013-01-02"))

        assert labels_of(build) == [piece.replace(" ", " on ") for piece in EVERY_PIECE]

    def test_zip_and_map(self, labels_of):
        @task(map_index_template=label("{pair[0][origin]}-{pair[1]}"))
        def work(pair): ...

        def build():
            partitions = four_partitions()
            work.expand(pair=partitions.zip(partitions.map(lambda partition: partition["date"][-2:])))

        assert labels_of(build) == ["EWR-01", "EWR-02", "JFK-01", "JFK-02"]

    def test_literals_are_shown_as_airflow_renders_them(self, labels_of):
        @task(map_index_template=label("{x}{y}"))
        def work(x, y): ...

        assert labels_of(lambda: work.expand(x=["a", "{{ 7 }}"], y=[1, 2])) == ["a1", "a2", "71", "72"]

    def test_outputs_among_literals(self, labels_of):
        @task
        def origins(name):
            return [name]

        @task(map_index_template=label("{x[0]} {n}"))
        def work(x, n): ...

        def build():
            work.expand(x=[origins("EWR"), origins("JFK")], n=[1, 2])

        def build_kwargs():
            work.expand_kwargs([{"x": origins("EWR"), "n": 1}, {"x": origins("JFK"), "n": 2}])

        assert labels_of(build) == ["EWR 1", "EWR 2", "JFK 1", "JFK 2"]
        assert labels_of(build_kwargs) == ["EWR 1", "JFK 2"]

    def test_a_batch(self, labels_of):
        def build():
            work.expand(partition=batches(four_partitions(), batch_size=3))

        assert labels_of(build) == ["EWR 2013-01-01 … JFK 2013-01-01", "JFK 2013-01-02"]

    @pytest.mark.parametrize("inner", ["by_keyword", "by_position", "downstream", "classic"])
    def test_a_task_in_a_mapped_group(self, labels_of, inner):
        def build():
            @task_group
            def group(part):
                @task(map_index_template=LABEL)
                def by_keyword(p): ...

                @task(map_index_template=LABEL)
                def by_position(p): ...

                @task(map_index_template=LABEL)
                def downstream(nothing_of_the_partition): ...

                LoadOperator(task_id="classic", partition=part, map_index_template=LABEL)
                by_position(part)
                downstream(by_keyword(p=part))

            group.expand(part=four_partitions())

        assert labels_of(build, work=f"group.{inner}") == EVERY_PIECE


class TestValues:
    def test_strangers_values_are_shown_and_never_rendered(self, labels_of):
        strange = ["it's", "{{ 1 + 1 }}", "{origin}", "a/b", "line\nbreak", "😀", "(1, 2)"]

        @task
        def names():
            return strange

        @task(map_index_template=label("{name}"))
        def work(name): ...

        shown = labels_of(lambda: work.expand(name=names()))
        assert shown == [name.replace("\n", "\\n") for name in strange]

    def test_are_text_in_a_dag_that_renders_native_objects(self, labels_of):
        @task
        def names():
            return ["(1, 2)", "it's", "7"]

        @task(map_index_template=label("{name}"))
        def work(name): ...

        assert labels_of(lambda: work.expand(name=names()), render_template_as_native_obj=True) == [
            "(1, 2)",
            "it's",
            "7",
        ]

    @pytest.mark.parametrize("native", [False, True])
    def test_a_label_may_be_part_of_a_larger_template(self, dag_test, native):
        name, quoted = label("{name}"), f"{{{{ params.what ~ '}}}}' }}}} \"of\" {label()}"
        composed = {
            "run " + name: ["run it's", "run 7", "run (1, 2)", "run {{ 1 }}"],
            name + ", " + name: ["it's, it's", "7, 7", "(1, 2), (1, 2)", "{{ 1 }}, {{ 1 }}"],
            "1" + name: ["1it's", "17", "1(1, 2)", "1{{ 1 }}"],
            quoted: [f'run}}}} "of" name={one}' for one in ("it%27s", "7", "(1, 2)", "%7B%7B 1 }}")],
            "{{ macros.mapping_kit.label('{name}') | upper }}": ["IT'S", "7", "(1, 2)", "{{ 1 }}"],
            "{{ nobody.knows }}" + label(): ["0", "1", "2", "3"],
            label("{name}") + label("x" * 200) + label("y" * 200): [250] * 4,
        }
        with DAG(
            f"l{uuid.uuid4().hex}",
            schedule=None,
            start_date=pendulum.datetime(2024, 1, 1),
            render_template_as_native_obj=native,
            params={"what": "run"},
        ) as built:

            @task
            def names():
                return ["it's", "7", "(1, 2)", "{{ 1 }}"]

            @task
            def work(name): ...

            for number, template in enumerate(composed):
                work.override(task_id=f"work_{number}", map_index_template=template).expand(name=names())
        read(built)
        instances = dag_test(built)
        for number, (template, expected) in enumerate(composed.items()):
            shown = [instances[f"work_{number}", index].rendered_map_index for index in range(4)]
            assert expected in (shown, [len(each) for each in shown]), template

    def test_joined_text_is_text_where_no_policy_has_seen_the_dag(self, dag_test):
        with DAG(
            f"l{uuid.uuid4().hex}",
            schedule=None,
            start_date=pendulum.datetime(2024, 1, 1),
            render_template_as_native_obj=True,
        ) as built:

            @task(map_index_template="run " + label("{name}"))
            def work(name): ...

            work.expand(name=["a b", "7"])
        shown = [ti.rendered_map_index for _, ti in sorted(dag_test(built).items())]
        assert shown == ["run a b", "run 7"]

    def test_a_field_that_does_not_exist_gives_the_key_and_a_warning_and_the_task_succeeds(
        self, labels_of, caplog
    ):
        @task(map_index_template=label("{country}"))
        def work(partition): ...

        with caplog.at_level(logging.WARNING):
            assert labels_of(lambda: work.expand(partition=product(origin=["EWR"]))) == ["origin=EWR"]
        (warning,) = [r.getMessage() for r in caplog.records if "cannot be shown" in r.getMessage()]
        assert "'country'" in warning
        assert "origin" in warning
