"""What Airflow hides, and what the kit hides with it."""

from __future__ import annotations

import pytest
from airflow.configuration import conf

from airflow_mapping_kit.compat import AIRFLOW_3, hidden_names, redacted
from airflow_mapping_kit.operators.dagrun.plan import Parent, planned
from airflow_mapping_kit.partitions.hidden import HIDDEN_NAMES, is_hidden
from airflow_mapping_kit.plans.planned import key_of

if AIRFLOW_3:
    from airflow._shared import secrets_masker as core
    from airflow.sdk._shared import secrets_masker as masker
else:
    from airflow.utils.log import secrets_masker as masker


@pytest.fixture
def configured(monkeypatch):
    """Return a function that sets options of `[core]`."""

    def set_options(**options):
        for name, value in options.items():
            monkeypatch.setenv(f"AIRFLOW__CORE__{name.upper()}", value)
        hidden_names.cache_clear()

    yield set_options
    hidden_names.cache_clear()


def test_nothing_is_shown_that_this_airflow_hides():
    assert masker.DEFAULT_SENSITIVE_FIELDS <= HIDDEN_NAMES


def test_a_deployment_says_what_else_is_hidden(configured):
    configured(sensitive_var_conn_names="iban, Card-Number,,")
    assert hidden_names() == HIDDEN_NAMES | {"iban", "card-number"}
    assert is_hidden("my_IBAN", hidden_names())
    assert is_hidden("card-number", hidden_names())
    assert key_of({"account": {"id": 1, "iban": "DE02"}}) == "iban=*16189a630beb/id=1"


def test_a_child_run_is_told_what_its_name_hides():
    (run,) = planned(
        [{"id": 1, "token": "zyzzyva"}], conf=None, item_key="order", parent=Parent("d", "r", "t", -1)
    )
    assert run.key.startswith("id=1/token=*")
    assert "zyzzyva" not in run.run_id
    assert run.conf == {"order": {"id": 1, "token": "zyzzyva"}}


def test_a_deployment_that_hides_nothing_hides_nothing(configured):
    configured(hide_sensitive_var_conn_fields="False", sensitive_var_conn_names="iban")
    assert hidden_names() == frozenset()
    assert conf.getboolean("core", "hide_sensitive_var_conn_fields") is False


def test_secrets_that_this_process_knows_are_masked():
    masker.mask_secret("zyzzyva-1")
    if AIRFLOW_3:
        core.mask_secret("zyzzyva-2")
    else:
        masker.mask_secret("zyzzyva-2")
    assert redacted("a zyzzyva-1 and a zyzzyva-2") == "a *** and a ***"
    assert redacted("zyzzyva") == "zyzzyva"
