"""Airflow's building blocks, from wherever this Airflow has them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import airflow
from airflow.triggers.base import BaseTrigger, TriggerEvent

AIRFLOW_3 = not airflow.__version__.startswith("2.")

if TYPE_CHECKING or not AIRFLOW_3:
    from airflow import DAG
    from airflow.datasets import Dataset as Asset
    from airflow.decorators import dag, task, task_group
    from airflow.decorators.base import (
        DecoratedOperator,
        TaskDecorator,
        get_unique_task_id,
        task_decorator_factory,
    )
    from airflow.decorators.base import _TaskDecorator as DecoratedTask
    from airflow.exceptions import AirflowException, AirflowFailException, AirflowSkipException
    from airflow.hooks.base import BaseHook
    from airflow.models.baseoperator import BaseOperator
    from airflow.models.mappedoperator import MappedOperator
    from airflow.models.param import Param
    from airflow.models.xcom_arg import XComArg
    from airflow.operators.python import get_current_context
    from airflow.utils import timezone
    from airflow.utils.context import KNOWN_CONTEXT_KEYS, context_merge
    from airflow.utils.operator_helpers import determine_kwargs
    from airflow.utils.task_group import TaskGroup
else:
    # Airflow 3 moved what a DAG author touches into the Task SDK; the 2.x paths warn or are gone.
    from airflow.sdk import (
        DAG,
        Asset,
        BaseHook,
        BaseOperator,
        Param,
        TaskGroup,
        XComArg,
        dag,
        get_current_context,
        task,
        task_group,
        timezone,
    )
    from airflow.sdk.bases.decorator import (
        DecoratedOperator,
        TaskDecorator,
        determine_kwargs,
        get_unique_task_id,
        task_decorator_factory,
    )
    from airflow.sdk.bases.decorator import _TaskDecorator as DecoratedTask
    from airflow.sdk.definitions.context import KNOWN_CONTEXT_KEYS, context_merge
    from airflow.sdk.definitions.mappedoperator import MappedOperator
    from airflow.sdk.exceptions import AirflowException, AirflowFailException, AirflowSkipException

__all__ = [
    "AIRFLOW_3",
    "DAG",
    "KNOWN_CONTEXT_KEYS",
    "AirflowException",
    "AirflowFailException",
    "AirflowSkipException",
    "Asset",
    "BaseHook",
    "BaseOperator",
    "BaseTrigger",
    "DecoratedOperator",
    "DecoratedTask",
    "MappedOperator",
    "Param",
    "TaskDecorator",
    "TaskGroup",
    "TriggerEvent",
    "XComArg",
    "context_merge",
    "dag",
    "determine_kwargs",
    "get_current_context",
    "get_unique_task_id",
    "task",
    "task_decorator_factory",
    "task_group",
    "timezone",
]
