from __future__ import annotations

import datetime
import json
import logging
import sqlite3
import uuid
from decimal import Decimal

import pendulum
import pytest

from airflow_mapping_kit.fan_in import collect
from airflow_mapping_kit.generators import batches, date_range, generator, product, sql_rows, zipped
from airflow_mapping_kit.labels import label
from airflows import BaseOperator, dag, task, task_group


def a_dag(build, *, retries=3, **kwargs):
    @dag(
        dag_id=f"g{uuid.uuid4().hex}",
        schedule=None,
        start_date=pendulum.datetime(2024, 1, 1),
        default_args={"retries": retries},
        **kwargs,
    )
    def built():
        build()

    return built()


@task
def consume(piece): ...


class TestArguments:
    def test_only_dimensions_arrive_never_airflows_context(self, run_of):
        run = run_of(a_dag(lambda: product(origin=["EWR"], year=[2013])))
        assert run.run("product") == ("success", [{"origin": "EWR", "year": 2013}])

    def test_templates_are_rendered_however_nested(self, run_of):
        def build():
            product(
                origin=["EWR", "{{ 'J' ~ 'FK' }}"],
                date=["2013-01-0{{ 1 }}"],
                exclude=[{"origin": "{{ 'EWR' }}"}],
            )

        run = run_of(a_dag(build))
        assert run.run("product")[1] == [{"origin": "JFK", "date": "2013-01-01"}]

    def test_the_output_of_a_task_is_a_dimension_and_is_never_rendered(self, run_of):
        @task
        def strangers() -> list[str]:
            return ["{{ 1 + 1 }}", "it's"]

        run = run_of(a_dag(lambda: product(name=strangers())))
        run.run("strangers")
        assert run.run("product")[1] == [{"name": "{{ 1 + 1 }}"}, {"name": "it's"}]

    def test_the_output_of_a_mapped_task_is_a_dimension(self, dag_test):
        @task
        def upper(name):
            return name.upper()

        instances = dag_test(a_dag(lambda: product(name=upper.expand(name=["a", "b"]))))
        assert instances["product", -1].xcom_pull(task_ids="product") == [{"name": "A"}, {"name": "B"}]

    def test_a_generator_can_be_mapped_itself(self, dag_test):
        instances = dag_test(a_dag(lambda: product.partial(y=[1, 2]).expand(x=[["a"], ["b"]])))
        assert instances["product", 1].xcom_pull(task_ids="product", map_indexes=1) == [
            {"y": 1, "x": "b"},
            {"y": 2, "x": "b"},
        ]

    def test_every_generator_gives_what_its_pure_namesake_gives(self, run_of):
        def build():
            date_range("2013-01-31", "{{ '2013-02-01' }}")
            zipped(a=["{{ 1 }}", "2"], b=[3, 4])
            batches(["{{ 'x' }}", "y", "z"], batch_size=2)

        run = run_of(a_dag(build))
        assert run.run("date_range")[1] == ["2013-01-31", "2013-02-01"]
        assert run.run("zipped")[1] == [{"a": "1", "b": 3}, {"a": "2", "b": 4}]
        assert run.run("batches")[1] == [["x", "y"], ["z"]]

    def test_a_function_of_ones_own_is_a_generator_too(self, run_of):
        @generator
        def squares(n):
            return [i * i for i in range(n)]

        assert run_of(a_dag(lambda: squares(3))).run("squares") == ("success", [0, 1, 4])


class TestPlan:
    """A plan is checked before Airflow maps over it."""

    @pytest.fixture(autouse=True)
    def limit_of_four(self, monkeypatch):
        monkeypatch.setenv("AIRFLOW__CORE__MAX_MAP_LENGTH", "4")

    def test_that_is_too_long_fails_at_once_and_names_the_call_that_fits(self, run_of, caplog):
        def build():
            consume.expand(piece=product(n=list(range(9))))

        with caplog.at_level(logging.ERROR):
            state, plan = run_of(a_dag(build)).run("product")
        assert (state, plan) == ("failed", None)  # not up_for_retry, though three retries are left
        assert "the combinations of 'n' (9) are 9 pieces" in caplog.text
        assert "at most 4" in caplog.text
        assert "batches(product, batch_size=3)" in caplog.text

    def test_the_call_that_fits_fits(self, dag_test):
        def build():
            consume.expand(piece=batches(product(n=list(range(9))), batch_size=3))

        instances = dag_test(a_dag(build))
        assert sorted(index for task_id, index in instances if task_id == "consume") == [0, 1, 2]

    def test_of_batches_that_is_too_long_names_a_larger_batch(self, run_of, caplog):
        def build():
            consume.expand(piece=batches("{{ range(9) | list }}", batch_size=1))

        with caplog.at_level(logging.ERROR):
            state, _ = run_of(a_dag(build, render_template_as_native_obj=True)).run("batches")
        assert state == "failed"
        assert "batch_size=3" in caplog.text

    def test_may_have_exactly_as_many_pieces_as_airflow_maps_over(self, run_of):
        run = run_of(a_dag(lambda: consume.expand(piece=product(n=[1, 2, 3, 4]))))
        assert run.run("product")[0] == "success"

    def test_that_nothing_maps_over_may_be_longer(self, run_of):
        assert run_of(a_dag(lambda: product(n=list(range(9))))).run("product")[0] == "success"

    def test_with_a_mapped_group_over_it_is_checked_as_well(self, run_of):
        def build():
            @task_group
            def group(piece):
                consume(piece)

            group.expand(piece=product(n=list(range(5))))

        assert run_of(a_dag(build)).run("product")[0] == "failed"

    def test_that_is_empty_skips_by_default(self, run_of, caplog):
        @generator
        def nothing():
            return []

        with caplog.at_level(logging.INFO):
            assert run_of(a_dag(nothing)).run("nothing")[0] == "skipped"
        assert "empty plan" in caplog.text

    def test_that_is_empty_fails_where_that_is_an_error(self, run_of):
        @generator
        def nothing():
            return []

        assert run_of(a_dag(lambda: nothing.override(on_empty="fail")())).run("nothing")[0] == "failed"

    @pytest.mark.parametrize(
        ("plan", "named"),
        [
            ([{"n": 1}, {"n": "1"}], "same key"),
            ([{"n": ""}], "empty string"),
        ],
    )
    def test_with_a_piece_that_can_have_no_key_of_its_own_fails_at_once(self, run_of, caplog, plan, named):
        @generator
        def rows():
            return plan

        with caplog.at_level(logging.ERROR):
            assert run_of(a_dag(rows)).run("rows")[0] == "failed"
        assert named in caplog.text

    def test_known_only_at_run_time_is_refused_at_run_time(self, run_of, caplog):
        with caplog.at_level(logging.ERROR):
            state, _ = run_of(a_dag(lambda: date_range("{{ '2013-02-01' }}", "2013-01-01"))).run("date_range")
        assert state == "failed"
        assert "2013-02-01" in caplog.text


class TestOfAnEmptyList:
    """A list that is empty only at run time is an empty plan."""

    @pytest.fixture
    def states(self, dag_test):
        def run(on_empty):
            @task
            def countries():
                return []

            def build():
                kwargs = {} if on_empty is None else {"on_empty": on_empty}
                consume.expand(piece=product.override(**kwargs)(country=countries(), date=["2024-01-01"]))

            instances = dag_test(a_dag(build, retries=0))
            return {task_id: instance.state for (task_id, _), instance in instances.items()}

        return run

    def test_skips(self, states):
        assert states(None) == {"countries": "success", "product": "skipped", "consume": "skipped"}

    def test_fails_where_that_is_an_error(self, states):
        assert states("fail") == {"countries": "success", "product": "failed", "consume": "upstream_failed"}

    def test_of_a_mapped_generator_skips_its_instance_alone(self, dag_test):
        @task
        def lists():
            return [["a"], [], ["b"]]

        instances = dag_test(a_dag(lambda: product.partial(y=[1]).expand(x=lists()), retries=0))
        assert [instances["product", index].state for index in range(3)] == ["success", "skipped", "success"]


class TestRendered:
    """A template leaves text; where a list or a number is wanted, text that is one is read."""

    PARAMS = {
        "origins": ["EWR", "it's"],
        "text": "EWR",
        "size": 2,
        "none": None,
        "days": ["2013-01-02"],
        "year": 2013,
    }

    @pytest.mark.parametrize("native", [False, True])
    def test_lists_and_numbers_are_read_with_and_without_native_rendering(self, run_of, native):
        def build():
            product(origin="{{ params.origins }}", n="{{ [1, None, true] | tojson }}")
            zipped(a="{{ params.origins }}", b="{{ (1, 2) }}")
            batches(
                "{{ params.origins * 2 }}",
                batch_size="{{ params.size + 1 }}",
                max_json_bytes="{{ params.none }}",
            )
            date_range("2013-01-01", "2013-01-03", exclude="{{ params.days }}")
            date_range.override(task_id="quarters")("{{ params.year }}", "{{ params.year }}", every="quarter")

        run = run_of(a_dag(build, params=self.PARAMS, render_template_as_native_obj=native))
        assert run.run("product")[1] == [
            {"origin": origin, "n": n} for origin in ("EWR", "it's") for n in (1, None, True)
        ]
        assert run.run("zipped")[1] == [{"a": "EWR", "b": 1}, {"a": "it's", "b": 2}]
        assert run.run("batches")[1] == [["EWR", "it's", "EWR"], ["it's"]]
        assert run.run("date_range")[1] == ["2013-01-01", "2013-01-03"]
        assert run.run("quarters")[1] == ["2013-Q1", "2013-Q2", "2013-Q3", "2013-Q4"]

    @pytest.mark.parametrize(
        ("template", "named"),
        [
            ("{{ params.text }}", "the single value 'EWR': write it as a list"),
            ("[{{ params.text }}", "the single value '[EWR'"),
            ("{{ {'a': 1} }}", "the single value"),
        ],
    )
    def test_text_that_is_no_list_is_refused_as_before(self, run_of, caplog, template, named):
        with caplog.at_level(logging.ERROR):
            assert (
                run_of(a_dag(lambda: product(origin=template), params=self.PARAMS)).run("product")[0]
                == "failed"
            )
        assert named in caplog.text

    def test_a_number_that_is_none_is_refused_as_before(self, run_of, caplog):
        with caplog.at_level(logging.ERROR):
            run_of(a_dag(lambda: batches([1], batch_size="{{ params.text }}"), params=self.PARAMS)).run(
                "batches"
            )
        assert "batch_size is 'EWR': pass a whole number" in caplog.text

    def test_text_within_a_list_stays_text(self, run_of):
        run = run_of(a_dag(lambda: product(key=["{{ '[1, 2]' }}", "{{ '7' }}"])))
        assert run.run("product")[1] == [{"key": "[1, 2]"}, {"key": "7"}]

    def test_a_function_of_ones_own_gets_what_its_annotations_say(self, run_of):
        @generator
        def shops(regions: list[str], number: int | None = None, name: str = "", free=None):
            return [{"region": region, "number": number, "name": name, "free": free} for region in regions]

        def build():
            shops("{{ params.origins[:1] }}", number="{{ params.size }}", name="{{ '[1]' }}", free="{{ 3 }}")

        run = run_of(a_dag(build, params=self.PARAMS))
        assert run.run("shops")[1] == [{"region": "EWR", "number": 2, "name": "[1]", "free": "3"}]


class TestOfArguments:
    """What is mapped over by `expand_kwargs` are arguments of a task, no partitions."""

    EQUAL = [{"to": "a@x", "cc": ""}, {"to": "a@x", "cc": ""}]

    @task
    def send(to=None, cc=None, partition=None):
        return [to, cc, partition]

    def run(self, run_of, plan, over):
        @generator
        def mails():
            return plan

        return run_of(a_dag(lambda: over(mails()))).run("mails")

    def test_they_may_be_equal_and_hold_what_no_key_can(self, run_of):
        assert self.run(run_of, self.EQUAL, self.send.expand_kwargs) == ("success", self.EQUAL)

    def test_of_a_group_they_may_too(self, run_of):
        @task_group
        def group(to, cc):
            self.send(to, cc)

        assert self.run(run_of, self.EQUAL, group.expand_kwargs) == ("success", self.EQUAL)

    def test_where_something_else_takes_them_as_partitions_they_may_not(self, run_of, caplog):
        def both(plan):
            self.send.expand_kwargs(plan)
            self.send.expand(partition=plan)

        with caplog.at_level(logging.ERROR):
            assert self.run(run_of, self.EQUAL, both)[0] == "failed"
        assert "empty string" in caplog.text

    def test_of_a_function_none_can_have_a_name_of_airflows_context(self, run_of, caplog):
        with caplog.at_level(logging.ERROR):
            assert (
                self.run(run_of, [{"ds": "2024-01-01", "to": ["a"]}], self.send.expand_kwargs)[0] == "failed"
            )
        assert "send is mapped by expand_kwargs, and 'ds' cannot be an argument" in caplog.text

    def test_of_a_function_it_can_be_a_field_of_what_goes_through_a_function_before(self, run_of):
        plan = [{"ds": "2024-01-01"}]
        state, _ = self.run(
            run_of, plan, lambda plan: self.send.expand_kwargs(plan.map(lambda piece: {"partition": piece}))
        )
        assert state == "success"

    def test_of_an_operator_it_can(self, run_of):
        class Trigger(BaseOperator):
            def __init__(self, *, conf, **kwargs):
                super().__init__(**kwargs)

        plan = [{"conf": "a"}, {"conf": "b"}]
        assert self.run(
            run_of, plan, lambda plan: Trigger.partial(task_id="trigger").expand_kwargs(plan)
        ) == ("success", plan)


def test_dimensions_with_names_of_airflows_context_reach_the_task_its_label_and_its_key(dag_test):
    @task(map_index_template=label("{ds} of {run_id}"))
    def load(partition):
        return partition

    def build():
        collect(load.expand(partition=product(ds=["2024-01-01"], run_id=["x", "y"])))

    instances = dag_test(a_dag(build, retries=0))
    loads = [instances["load", index] for index in range(2)]
    assert [one.rendered_map_index for one in loads] == ["2024-01-01 of x", "2024-01-01 of y"]
    report = instances["collect_load", -1].xcom_pull(task_ids="collect_load")
    assert [row["key"] for row in report["results"]] == ["ds=2024-01-01/run_id=x", "ds=2024-01-01/run_id=y"]
    assert report["results"][0]["value"] == {"ds": "2024-01-01", "run_id": "x"}


def test_a_fan_in_of_what_was_never_expanded_names_the_task_before_it_as_it_is_called(dag_test, caplog):
    @generator
    def broken_rows():
        raise ValueError("no rows")

    with caplog.at_level(logging.ERROR):
        dag_test(a_dag(lambda: collect(consume.expand(piece=broken_rows())), retries=0))
    assert "there are no pieces: because before it broken_rows failed." in caplog.text


class TestSqlRows:
    @pytest.fixture
    def shop(self, tmp_path, monkeypatch):
        path = tmp_path / "shop.db"
        with sqlite3.connect(path) as connection:
            connection.execute("CREATE TABLE orders (Country TEXT, year INT, state TEXT)")
            connection.executemany(
                "INSERT INTO orders VALUES (?, ?, ?)",
                [("Chad", 1952, "new"), ("Côte d'Ivoire", 1957, "new"), ("Peru", 1952, "done")],
            )
        monkeypatch.setenv("AIRFLOW_CONN_SHOP", json.dumps({"conn_type": "sqlite", "host": str(path)}))

    def run(self, run_of, sql, parameters=None, **kwargs):
        return run_of(a_dag(lambda: sql_rows("shop", sql, parameters), **kwargs)).run("sql_rows")

    def test_are_one_dict_a_row_in_the_order_of_the_query(self, run_of, shop):
        state, plan = self.run(run_of, "SELECT Country, year FROM orders WHERE state = 'new' ORDER BY 1 DESC")
        assert state == "success"
        assert plan == [{"Country": "Côte d'Ivoire", "year": 1957}, {"Country": "Chad", "year": 1952}]

    @pytest.mark.parametrize("parameters", [["{{ 'done' }}"], "{{ ['done'] }}"])
    def test_bind_their_parameters_which_may_be_templated(self, run_of, shop, parameters):
        _, plan = self.run(run_of, "SELECT Country FROM orders WHERE state = ?", parameters)
        assert plan == [{"Country": "Peru"}]

    def test_take_a_query_from_a_file(self, run_of, shop, tmp_path):
        (tmp_path / "orders.sql").write_text("SELECT year FROM orders WHERE state = '{{ params.state }}'")
        _, plan = self.run(run_of, "orders.sql", template_searchpath=str(tmp_path), params={"state": "done"})
        assert plan == [{"year": 1952}]

    @pytest.mark.parametrize("by_name", [False, True])
    def test_take_no_other_argument_for_the_name_of_a_file(self, run_of, shop, tmp_path, by_name):
        (tmp_path / "x.sql").write_text("SELECT year FROM orders WHERE state = 'done' AND ? = 'x.sql'")

        def build():
            given = {"conn_id": "shop", "sql": "x.sql", "parameters": ["x.sql"]}
            sql_rows(**given) if by_name else sql_rows(*given.values())

        built = a_dag(build, template_searchpath=str(tmp_path))
        assert run_of(built).run("sql_rows") == ("success", [{"year": 1952}])

    @pytest.mark.parametrize(
        ("sql", "named"),
        [
            ("SELECT year, year FROM orders", "'year' more than once"),
            ("SELECT state FROM orders", "same key"),
            ("SELECT x'00ff' AS hash", "'hash'"),
            ("CREATE TABLE t (a INT)", "returns none"),
        ],
    )
    def test_that_are_no_plan_fail_at_once(self, run_of, shop, caplog, sql, named):
        with caplog.at_level(logging.ERROR):
            assert self.run(run_of, sql)[0] == "failed"
        assert named in caplog.text

    def test_of_no_rows_skip(self, run_of, shop):
        assert self.run(run_of, "SELECT year FROM orders WHERE state = 'lost'")[0] == "skipped"

    def test_become_json(self):
        from airflow_mapping_kit.sources.queries import json_scalar as _json_scalar

        assert _json_scalar("c", datetime.date(2013, 1, 2)) == "2013-01-02"
        assert _json_scalar("c", datetime.datetime(2013, 1, 2, 3, tzinfo=datetime.timezone.utc)) == (
            "2013-01-02T03:00:00+00:00"
        )
        assert _json_scalar("c", Decimal("1.10")) == "1.10"
        assert _json_scalar("c", None) is None
