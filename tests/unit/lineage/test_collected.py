"""What operators tell of lineage arrives at a plugin that reads it, as the URIs that everybody else has."""

from __future__ import annotations

import duckdb
import pytest

from airflow_mapping_kit.compat import AIRFLOW_3
from airflow_mapping_kit.operators.duckdb import DuckDBPartitionOperator
from airflows import DAG
from instances import INSTANCE

if AIRFLOW_3:
    from airflow.sdk import lineage as hook
    from airflow.sdk import plugins_manager
    from airflow.sdk.plugins_manager import AirflowPlugin
else:
    from airflow import plugins_manager
    from airflow.lineage import hook
    from airflow.plugins_manager import AirflowPlugin


class Reader(hook.HookLineageReader):
    """What a catalog brings."""


class Plugin(AirflowPlugin):
    name = "catalog"
    hook_lineage_readers = (Reader,)


@pytest.fixture
def collected(monkeypatch):
    """Have a plugin read hook lineage, and return a function that gives what it finds."""
    if AIRFLOW_3:
        readers, collector = plugins_manager.get_hook_lineage_readers_plugins, hook.get_hook_lineage_collector
        monkeypatch.setattr(plugins_manager, "_get_plugins", lambda: ([Plugin], {}))
        readers.cache_clear()
        collector.cache_clear()
    else:
        monkeypatch.setattr(plugins_manager, "plugins", [Plugin])
        monkeypatch.setattr(plugins_manager, "hook_lineage_reader_classes", None)
        monkeypatch.setattr(hook, "_hook_lineage_collector", None)

    def read():
        found = (
            Reader().retrieve_hook_lineage() if AIRFLOW_3 else Reader().lineage_collector.collected_datasets
        )
        return [
            sorted((one.asset if AIRFLOW_3 else one.dataset).uri for one in side)
            for side in (found.inputs, found.outputs)
        ]

    yield read
    if AIRFLOW_3:
        readers.cache_clear()
        collector.cache_clear()


def test_a_plugin_finds_what_was_read_and_the_partitions_that_were_written(collected, tmp_path):
    source, lake = tmp_path / "it's 100%.parquet", tmp_path / "lake of é"
    duckdb.sql("SELECT unnest(['a', 'b/c']) AS p, 1 AS n").write_parquet(str(source))
    with DAG("lake", schedule=None):
        operator = DuckDBPartitionOperator(
            task_id="load",
            sql=f"SELECT n FROM '{str(source).replace(chr(39), chr(39) * 2)}' WHERE p = $p",
            partition=[{"p": "a"}, {"p": "b/c"}, {"p": "without rows"}],
            target=str(lake),
            on_empty="skip",
        )
    operator.execute({"ti": INSTANCE, "task": operator})
    folder = f"file://{tmp_path}"
    assert collected() == [
        [f"{folder}/it's%20100%.parquet"],
        [
            f"{folder}/lake%20of%20%C3%A9/p=a/data_0.parquet",
            f"{folder}/lake%20of%20%C3%A9/p=b%2Fc/data_0.parquet",
        ],
    ]
