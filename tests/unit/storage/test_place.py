from __future__ import annotations

from pathlib import Path

import pytest

from airflow_mapping_kit.exceptions import StorageError
from airflow_mapping_kit.storage.place import folder, root


@pytest.fixture
def settings(monkeypatch):
    """Return a function that sets options of Airflow's configuration."""

    def given(**options):
        for name, value in options.items():
            monkeypatch.setenv(f"AIRFLOW__{name}", value)

    return given


def test_without_a_setting_there_is_none():
    assert root() is None
    with pytest.raises(StorageError, match=r"\[mapping_kit\] storage = s3://aws_default@bucket/mapping_kit$"):
        folder("d", "r", "t")


def test_it_is_where_the_deployment_has_its_large_xcoms_or_what_is_said_instead(settings):
    settings(CORE__EXECUTOR="CeleryExecutor", COMMON_IO__XCOM_OBJECTSTORAGE_PATH="s3://aws@lake/xcoms/")
    assert root() == "s3://aws@lake/xcoms/mapping_kit"
    settings(MAPPING_KIT__STORAGE=" gs://google@lake/kit/ ")
    assert root() == "gs://google@lake/kit"


def test_no_id_leads_out_of_the_folder_or_into_anothers(settings):
    settings(MAPPING_KIT__STORAGE="s3://aws@lake/kit")
    assert (
        folder("load", "scheduled__2024-01-01T00:00:00+00:00", "group.task")
        == "s3://aws@lake/kit/load/scheduled__2024-01-01T00:00:00+00:00/group.task"
    )
    assert folder("..", "a/../b?c#d", "é%") == "s3://aws@lake/kit/%2E%2E/a%2F..%2Fb%3Fc%23d/%C3%A9%25"


def test_ids_that_are_too_long_for_a_file_system_are_told_apart(settings, tmp_path):
    settings(CORE__EXECUTOR="LocalExecutor", MAPPING_KIT__STORAGE=str(tmp_path))
    places = {folder("d" * 250, f"{'é' * 240}{number}", "t") for number in range(3)}
    for place in places:
        Path(place).mkdir(parents=True)
    assert len(places) == 3


@pytest.mark.parametrize("executor", ["LocalExecutor", "SequentialExecutor", "mine:LocalExecutor"])
@pytest.mark.parametrize("place", ["/var/kit", "file:///var/kit"])
def test_a_folder_of_this_machine_will_do_where_all_tasks_run_on_it(settings, executor, place):
    settings(CORE__EXECUTOR=executor, MAPPING_KIT__STORAGE=place)
    assert root() == place


@pytest.mark.parametrize(
    "executor", ["CeleryExecutor", "LocalExecutor,KubernetesExecutor", "my.own.Executor"]
)
@pytest.mark.parametrize(
    ("option", "place"),
    [("MAPPING_KIT__STORAGE", "/var/kit"), ("COMMON_IO__XCOM_OBJECTSTORAGE_PATH", "file:///var/xcoms")],
)
def test_a_folder_of_one_of_several_machines_is_refused_whoever_names_it(settings, executor, option, place):
    settings(CORE__EXECUTOR=executor, **{option: place})
    name = option.partition("__")[2].lower()
    with pytest.raises(
        StorageError,
        match=rf"\] {name} is '{place}', a folder of one machine\. With .*Executor.* s3://aws",
    ):
        root()


@pytest.mark.parametrize("place", ["kit", "./kit", "lake/kit"])
def test_what_is_no_place_is_refused(settings, place):
    settings(MAPPING_KIT__STORAGE=place)
    with pytest.raises(
        StorageError, match=r"which is not a place. Set one that all workers can reach, such as s3://"
    ):
        root()
