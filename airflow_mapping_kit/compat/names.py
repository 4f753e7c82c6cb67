"""Airflow's building blocks, from wherever this Airflow has them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from airflow.triggers.base import BaseTrigger, TriggerEvent

from airflow_mapping_kit.compat.parts import AIRFLOW_3, NAMES, private

if TYPE_CHECKING or not AIRFLOW_3:
    from airflow import DAG
    from airflow.datasets import Dataset as Asset
    from airflow.decorators import dag, task, task_group
    from airflow.exceptions import (
        AirflowException,
        AirflowFailException,
        AirflowNotFoundException,
        AirflowSkipException,
    )
    from airflow.hooks.base import BaseHook
    from airflow.models.baseoperator import BaseOperator
    from airflow.models.baseoperatorlink import BaseOperatorLink
    from airflow.models.param import Param
    from airflow.models.xcom_arg import XComArg
    from airflow.operators.python import get_current_context
    from airflow.utils import timezone
    from airflow.utils.task_group import TaskGroup
else:
    # Airflow 3 moved what a DAG author touches into the Task SDK; the 2.x paths warn or are gone.
    from airflow.sdk import (
        DAG,
        Asset,
        BaseHook,
        BaseOperator,
        BaseOperatorLink,
        Param,
        TaskGroup,
        XComArg,
        dag,
        get_current_context,
        task,
        task_group,
        timezone,
    )
    from airflow.sdk.exceptions import (
        AirflowException,
        AirflowFailException,
        AirflowNotFoundException,
        AirflowSkipException,
    )

if TYPE_CHECKING:
    from airflow.decorators.base import DecoratedOperator, get_unique_task_id, task_decorator_factory
    from airflow.decorators.base import _TaskDecorator as DecoratedTask
    from airflow.utils.context import KNOWN_CONTEXT_KEYS, context_merge
    from airflow.utils.operator_helpers import determine_kwargs
else:
    # Not public: where one is missing the parts that need it say so, and no other notices.
    DecoratedOperator = private(NAMES["DecoratedOperator"])
    DecoratedTask = private(NAMES["DecoratedTask"])
    KNOWN_CONTEXT_KEYS = private(NAMES["KNOWN_CONTEXT_KEYS"]) or frozenset()
    context_merge = private(NAMES["context_merge"])
    determine_kwargs = private(NAMES["determine_kwargs"])
    get_unique_task_id = private(NAMES["get_unique_task_id"])
    task_decorator_factory = private(NAMES["task_decorator_factory"])

__all__ = [
    "AIRFLOW_3",
    "DAG",
    "KNOWN_CONTEXT_KEYS",
    "AirflowException",
    "AirflowFailException",
    "AirflowNotFoundException",
    "AirflowSkipException",
    "Asset",
    "BaseHook",
    "BaseOperator",
    "BaseOperatorLink",
    "BaseTrigger",
    "DecoratedOperator",
    "DecoratedTask",
    "Param",
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
