"""The example DAGs that end in a fan-in run as they are."""

from __future__ import annotations

import json

import duckdb
import pytest

pytestmark = pytest.mark.versions


def by_label(airflow, dag_id, run_id, task_id):
    return {i["rendered_map_index"]: i for i in airflow.instances(dag_id, run_id, task_id)}


def test_an_order_is_shipped_item_by_item_and_what_was_mended_is_all_that_runs_again(stack, tmp_path):
    airflow, book = stack.airflow, tmp_path / "addresses.json"
    addresses = json.loads((stack.project / "include" / "data" / "addresses.json").read_text())
    book.write_text(json.dumps(addresses))
    target = tmp_path / "shipping"
    airflow.wait_for_dag("order_shipping")
    airflow.unpause("order_shipping")
    run_id = airflow.trigger("order_shipping", conf={"address_book": str(book), "target": str(target)})

    # Airflow's default rule keeps the order open; the fan-in goes on and names what is missing.
    assert airflow.wait("order_shipping", run_id) == "failed"
    (closing,) = airflow.instances("order_shipping", run_id, "close_order")
    assert closing["state"] == "upstream_failed"
    assert airflow.most_at_once("order_shipping", run_id, "ship") == 3
    summary = airflow.xcom("order_shipping", run_id, "summarise")
    assert summary == {
        "shipped": [1, 2, 3, 6, 7, 8, 9, 10, 11, 12],
        "to_mend": {
            "item 4: shelf for Linus": f"Linus has no postcode in {book}",
            "item 5: lamp for Margaret": f"Margaret has no postcode in {book}",
        },
    }
    assert len(list(target.iterdir())) == 10
    before = by_label(airflow, "order_shipping", run_id, "ship")

    # One by one: the item that was mended, and what follows.
    for index, customer, state in ((3, "Linus", "failed"), (4, "Margaret", "success")):
        addresses[customer]["postcode"] = "00100"
        book.write_text(json.dumps(addresses))
        airflow.clear("order_shipping", run_id, "ship", index, downstream=True)
        assert airflow.wait("order_shipping", run_id) == state
    assert airflow.xcom("order_shipping", run_id, "close_order") == "A-1001 is shipped"
    assert airflow.xcom("order_shipping", run_id, "summarise") == {"shipped": [*range(1, 13)], "to_mend": {}}
    assert sorted(path.name for path in target.iterdir()) == [f"item-{n:02}.json" for n in range(1, 13)]
    mended = {"item 4: shelf for Linus", "item 5: lamp for Margaret"}
    after = by_label(airflow, "order_shipping", run_id, "ship")
    assert {name for name in after if after[name]["start_date"] != before[name]["start_date"]} == mended
    assert {after[name]["try_number"] for name in mended} == {2}


def test_customers_of_a_database_go_through_their_steps_and_one_aggregate_follows(stack):
    run_id = stack.tested("customer_analysis")
    assert stack.airflow.xcom("customer_analysis", run_id, "aggregate") == {
        "segments": {
            "loyal": {"customers": 2, "spent": 655.65},
            "lost": {"customers": 2, "spent": 1215.0},
        },
        "missing": [],
    }
    for task_id in ("purchases", "score", "segment"):
        labelled = by_label(stack.airflow, "customer_analysis", run_id, f"customer.{task_id}")
        assert list(labelled) == [f"customer {number}" for number in range(1, 5)]
    report = stack.airflow.xcom("customer_analysis", run_id, "collect_customer")
    assert [row["key"] for row in report["results"]] == [f"customer={number}" for number in range(1, 5)]


def test_endpoints_that_fail_at_first_or_limit_requests_are_had_and_the_broken_one_is_named(stack):
    airflow = stack.airflow
    run_id = stack.tested("api_endpoints")
    merged = airflow.xcom("api_endpoints", run_id, "merge")
    assert merged["endpoints"] == {
        "steady": {"rows": 3, "total": 60},
        "slow": {"rows": 1, "total": 100},
        "flaky": {"rows": 2, "total": 3},
        "limited": {"rows": 1, "total": 7},
    }
    assert merged["total"] == 170
    assert list(merged["without"]) == ["broken"]
    assert "500 Server Error" in merged["without"]["broken"]
    tries = {
        name: i["try_number"]
        for name, i in by_label(airflow, "api_endpoints", run_id, "endpoint.download").items()
    }
    # The limit is waited for within the try, an error is tried again by Airflow.
    assert tries == {"steady": 1, "slow": 1, "flaky": 2, "limited": 1, "broken": 2}


def test_metadata_says_which_reports_are_made(stack, tmp_path):
    run_id = stack.tested("metadata_driven", target=str(tmp_path / "reports"))
    labels = list(by_label(stack.airflow, "metadata_driven", run_id, "report"))
    assert labels == [
        *(f"delays of {origin}" for origin in ("EWR", "JFK", "LGA")),
        *(f"destinations of {carrier}" for carrier in ("UA", "B6")),
    ]
    source = str(stack.project / "include" / "data" / "flights-2013-01.csv.gz")
    expected = duckdb.execute(
        "SELECT count(*) FROM read_csv($source, nullstr = 'NA') WHERE origin = 'EWR'", {"source": source}
    ).fetchone()
    found = duckdb.execute(
        "SELECT count(*), sum(flights) FROM read_parquet($path)",
        {"path": str(tmp_path / "reports" / "delays" / "report=delays" / "subject=EWR" / "*.parquet")},
    ).fetchone()
    assert found == (31, *expected)
    report = stack.airflow.xcom("metadata_driven", run_id, "collect_report")
    assert (report["total"], report["succeeded"]) == (5, 5)


def test_the_sum_is_that_of_the_right_ones_with_a_failed_and_a_skipped_one_in_between(stack):
    run_id = stack.tested("transform_reduce")
    assert stack.airflow.xcom("transform_reduce", run_id, "total") == {
        "cents": 128 + 374 + 962 + 762,
        "of": {"apple": 128, "bread": 374, "cheese": 962, "dates": 762},
    }
    report = stack.airflow.xcom("transform_reduce", run_id, "collect_article")
    assert [(row["label"], row["state"]) for row in report["results"]] == [
        ("apple", "success"),
        ("unicorn", "failed"),
        ("bread", "success"),
        ("leaflet", "skipped"),
        ("cheese", "success"),
        ("dates", "success"),
    ]
    assert report["results"][1]["error"] == {"type": "KeyError", "message": "'unicorn'"}
