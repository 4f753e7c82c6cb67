from __future__ import annotations

import inspect

from airflow_mapping_kit.history import forms
from airflow_mapping_kit.reload import form, reload_partitions


def test_a_history_knows_which_arguments_of_reload_partitions_are_no_dimension():
    parameters = inspect.signature(reload_partitions.function).parameters.values()
    own = {one.name for one in parameters if one.kind is not one.VAR_KEYWORD}
    assert own == set(forms._NO_DIMENSIONS)


def test_a_history_knows_the_fields_of_the_form():
    assert forms._MARK == form._MARK
