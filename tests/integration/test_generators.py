from __future__ import annotations

import datetime
import json
import logging
import sqlite3
import uuid
from decimal import Decimal

import pendulum
import pytest

from airflow_mapping_kit.generators import batches, date_range, generator, product, sql_rows, zipped
from airflows import dag, task


def a_dag(build, **kwargs):
    @dag(
        dag_id=f"g{uuid.uuid4().hex}",
        schedule=None,
        start_date=pendulum.datetime(2024, 1, 1),
        default_args={"retries": 3},
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
        from airflows import task_group

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

    def test_bind_their_parameters_which_may_be_templated(self, run_of, shop):
        _, plan = self.run(run_of, "SELECT Country FROM orders WHERE state = ?", ["{{ 'done' }}"])
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
        from airflow_mapping_kit.generators.sql import _json_scalar

        assert _json_scalar("c", datetime.date(2013, 1, 2)) == "2013-01-02"
        assert _json_scalar("c", datetime.datetime(2013, 1, 2, 3, tzinfo=datetime.timezone.utc)) == (
            "2013-01-02T03:00:00+00:00"
        )
        assert _json_scalar("c", Decimal("1.10")) == "1.10"
        assert _json_scalar("c", None) is None
