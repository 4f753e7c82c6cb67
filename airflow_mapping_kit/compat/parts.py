"""The parts of the kit, and what of Airflow's own each of them needs that Airflow does not call public.

Such a name may be gone in a version that the kit has never seen. Then the part that needs it is switched off and says
so, and the others work: Airflow itself is never stopped by it.
"""

from __future__ import annotations

import functools
import inspect
import logging
from importlib import import_module
from typing import Any

import airflow

from airflow_mapping_kit.exceptions import MissingNameError

log = logging.getLogger(__name__)

AIRFLOW_3 = not airflow.__version__.startswith("2.")

LABELS = "labels"
EARLY_LABELS = "early labels"
GENERATORS = "generators"
BATCHES = "batches"
COLLECT = "collect"
CHILD_RUNS = "child runs"
COMMAND_LINE = "the command mapping-kit"
PERIODS = "the periods of scheduled runs"
LITERALS = "early labels of literals"
PARTITION_EVENTS = "events of partitions"
MASKING = "the texts of errors"
LAST_TIME = "what failed last time"
PAGE = "the page Partitions"
STALE = "stale partitions"
CHANGED = "what changed upstream"
HOOK_LINEAGE = "hook lineage"

_MAPPED = "airflow.sdk.definitions.mappedoperator" if AIRFLOW_3 else "airflow.models.mappedoperator"
_GROUP = "airflow.sdk.definitions.taskgroup" if AIRFLOW_3 else "airflow.utils.task_group"
_EXPAND = "airflow.sdk.definitions._internal.expandinput" if AIRFLOW_3 else "airflow.models.expandinput"
_ARGS = "airflow.sdk.definitions.xcom_arg" if AIRFLOW_3 else "airflow.models.xcom_arg"
_BASE = "airflow.sdk.bases.operator" if AIRFLOW_3 else "airflow.models.baseoperator"
_DECORATOR = "airflow.sdk.bases.decorator" if AIRFLOW_3 else "airflow.decorators.base"
_CONTEXT = "airflow.sdk.definitions.context" if AIRFLOW_3 else "airflow.utils.context"
_CALLS = "airflow.sdk.bases.decorator" if AIRFLOW_3 else "airflow.utils.operator_helpers"
_GROUPS = f"{'airflow.sdk.definitions._internal.contextmanager' if AIRFLOW_3 else _GROUP}:TaskGroupContext"
_RUNNER = "airflow.sdk.execution_time.task_runner"
_TASKS = "airflow.models.taskinstance"
_SPEC = (
    "airflow.sdk._shared.listeners.spec.taskinstance" if AIRFLOW_3 else "airflow.listeners.spec.taskinstance"
)
_SESSION = "" if AIRFLOW_3 else ", session"

# What tasks are mapped over: all that has to do with pieces begins with it.
_PLAN = (
    f"{_MAPPED}:MappedOperator._get_specified_expand_input",
    f"{_GROUP}:MappedTaskGroup._expand_input",
    f"{_EXPAND}:MappedArgument._key",
    *(f"{_ARGS}:{kind}XComArg" for kind in ("Plain", "Map", "Zip", "Concat")),
)
_ROWS = (
    f"{_TASKS}:TaskInstance.{'_rendered_map_index' if AIRFLOW_3 else 'rendered_map_index'}",
    f"airflow.models.xcom:{'XComModel' if AIRFLOW_3 else 'XCom'}.value",
    "airflow.models.dagrun:DagRun",
)
# By what the kit calls them.
NAMES = {
    "DecoratedOperator": f"{_DECORATOR}:DecoratedOperator",
    "DecoratedTask": f"{_DECORATOR}:_TaskDecorator",
    "KNOWN_CONTEXT_KEYS": f"{_CONTEXT}:KNOWN_CONTEXT_KEYS",
    "context_merge": f"{_CONTEXT}:context_merge",
    "determine_kwargs": f"{_CALLS}:determine_kwargs",
    "get_unique_task_id": f"{_DECORATOR}:get_unique_task_id",
    "task_decorator_factory": f"{_DECORATOR}:task_decorator_factory",
}
_OUTCOME = (
    (
        *(
            f"{_RUNNER}:RuntimeTaskInstance.{name}"
            for name in ("get_task_breadcrumbs", "get_task_states", "get_ti_count")
        ),
        "airflow.sdk.execution_time.xcom:XCom",
        f"{_BASE}:BaseOperator._post_execute_hook",
        f"{_BASE}:BaseOperator.inherits_from_skipmixin",
    )
    if AIRFLOW_3
    else _ROWS
)
_JSON = (
    ("airflow.sdk.serde:serialize", "airflow.sdk.serde:deserialize")
    if AIRFLOW_3
    else ("airflow.utils.json:XComEncoder", "airflow.utils.json:XComDecoder")
)

# As `module:name`, `module:class.attribute` or `module:function(arguments)`.
NEEDS: dict[str, tuple[str, ...]] = {
    LABELS: (*_PLAN, f"{_BASE}:BaseOperator._BaseOperator__init_kwargs"),
    EARLY_LABELS: (
        *_PLAN,
        *_ROWS,
        "airflow.models.taskmap:TaskMap",
        "airflow.models.dagrun:DagRun.get_dag",
        # Airflow 2 imports what it has in its place when it is needed, and changes no more.
        *(("airflow.models.dagbag:DBDagBag",) if AIRFLOW_3 else ()),
    ),
    GENERATORS: (
        *(NAMES[name] for name in ("DecoratedOperator", "KNOWN_CONTEXT_KEYS", "task_decorator_factory")),
        f"{_BASE}:BaseOperator._BaseOperator__from_mapped",
    ),
    BATCHES: (
        *(
            NAMES[name]
            for name in (
                "DecoratedOperator",
                "DecoratedTask",
                "KNOWN_CONTEXT_KEYS",
                "context_merge",
                "determine_kwargs",
            )
        ),
        *_JSON,
        *_PLAN,
    ),
    COLLECT: (
        *_PLAN,
        *_OUTCOME,
        f"{_SPEC}:on_task_instance_running(task_instance)",
        f"{_SPEC}:on_task_instance_failed(task_instance, error{_SESSION})",
        f"{_SPEC}:on_task_instance_success(task_instance{_SESSION})",
        _GROUPS,
        NAMES["get_unique_task_id"],
        "airflow.utils.json:XComEncoder",
    ),
    CHILD_RUNS: (
        (
            *(
                f"{_RUNNER}:RuntimeTaskInstance.{name}"
                for name in ("get_dag", "get_dr_count", "get_task_breadcrumbs")
            ),
            "airflow.sdk.execution_time.comms:TriggerDagRun",
            "airflow.sdk.execution_time.comms:ErrorResponse",
            "airflow.sdk.api.client:ServerResponseError",
            "airflow.sdk.exceptions:AirflowRuntimeError",
        )
        if AIRFLOW_3
        else (
            f"{_TASKS}:clear_task_instances",
            "airflow.models.dag:DagModel",
            "airflow.models.dagrun:DagRun",
            "airflow.models.serialized_dag:SerializedDagModel",
            "airflow.models.errors:ParseImportError",
            "airflow.jobs.job:most_recent_job",
            "airflow.utils.retries:run_with_db_retries",
            "re2:match",
        )
    ),
    COMMAND_LINE: (
        *_PLAN,
        *_ROWS,
        f"{_TASKS}:clear_task_instances",
        "airflow.models.dag:DagModel",
        "airflow.models.log:Log",
        *(
            (
                "airflow.dag_processing.dagbag:BundleDagBag",
                "airflow.dag_processing.bundles.manager:DagBundlesManager",
                "airflow.sdk.execution_time.context:set_current_context",
                "airflow.sdk.execution_time:macros",
                "airflow.sdk.definitions.param:ParamsDict",
            )
            if AIRFLOW_3
            else (
                "airflow.models.dagbag:DagBag",
                f"{_TASKS}:set_current_context",
                "airflow.models.param:ParamsDict",
            )
        ),
    ),
    LITERALS: (
        "airflow.listeners.spec.dagrun:on_dag_run_running(dag_run)",
        *(
            (
                "airflow.listeners.spec.dagrun:on_dag_run_success(dag_run)",
                "airflow.listeners.spec.dagrun:on_dag_run_failed(dag_run)",
            )
            if AIRFLOW_3
            else ()
        ),
    ),
    PARTITION_EVENTS: (
        ("airflow.sdk.execution_time.context:OutletEventAccessor.partition_keys",) if AIRFLOW_3 else ()
    ),
    MASKING: (
        "airflow.sdk._shared.secrets_masker:redact"
        if AIRFLOW_3
        else "airflow.utils.log.secrets_masker:redact",
    ),
    PAGE: (
        # Runs of missing partitions are started as Airflow's own page does it.
        "airflow.api.common.trigger_dag:trigger_dag",
        *(
            (
                "airflow.api_fastapi.app:get_auth_manager",
                "airflow.api_fastapi.auth.managers.models.resource_details:DagAccessEntity",
                "airflow.api_fastapi.core_api.security:GetUserDep",
                "airflow.models.dag:DagModel.get_team_name",
            )
            if AIRFLOW_3
            else (
                # `trigger_dag` can't be imported without it.
                "airflow.models.dagbag:DagBag",
                "airflow.auth.managers.models.resource_details:DagAccessEntity",
                "airflow.www.extensions.init_auth_manager:get_auth_manager",
            )
        ),
    ),
    STALE: tuple(
        f"airflow.models.{name}"
        if AIRFLOW_3
        else f"airflow.models.{name}".replace("Asset", "Dataset").replace("asset", "dataset")
        for name in (
            "asset:AssetEvent.extra",
            "asset:AssetModel",
            "asset:AssetAliasModel",
            "asset:alias_association_table",
            "asset:DagScheduleAssetReference",
            "asset:DagScheduleAssetAliasReference",
            *(
                (
                    "asset:DagScheduleAssetNameReference",
                    "asset:DagScheduleAssetUriReference",
                )
                if AIRFLOW_3
                else ()
            ),
        )
    ),
    CHANGED: (
        (
            "airflow.sdk.execution_time.comms:GetAssetEventByAsset",
            "airflow.sdk.execution_time.comms:GetAssetEventByAssetAlias",
        )
        if AIRFLOW_3
        else ()
    ),
    HOOK_LINEAGE: (
        (
            "airflow.sdk.lineage:get_hook_lineage_collector",
            "airflow.sdk.plugins_manager:get_hook_lineage_readers_plugins",
        )
        if AIRFLOW_3
        else (
            "airflow.lineage.hook:get_hook_lineage_collector",
            "airflow.plugins_manager:initialize_hook_lineage_readers_plugins",
        )
    ),
    LAST_TIME: ("airflow.sdk.execution_time.comms:GetDagRun",) if AIRFLOW_3 else (),
    PERIODS: ("airflow.serialization.encoders:coerce_to_core_timetable",) if AIRFLOW_3 else (),
}


def private(place: str) -> Any:
    """Return what Airflow has as `module:name`, `None` where there is nothing: the part that needs it says so."""
    module, _, name = place.partition(":")
    try:
        return getattr(import_module(module), name, None)
    except ImportError:
        return None


@functools.cache
def switched_off(part: str) -> str | None:
    """Return why a part of the kit is switched off, and log it once; `None` where Airflow has all that it needs.

    :param part: one of `NEEDS`.
    """
    missing = [name for name in NEEDS[part] if not _is_there(name)]
    if not missing:
        return None
    message = (
        f"Airflow {airflow.__version__} has no {', '.join(name.replace(':', '.') for name in missing)}, so this "
        f"airflow-mapping-kit has switched off {part}; all else of it works. Use an Airflow that it knows "
        f"(2.10, 2.11, 3.2 or 3.3), or a newer airflow-mapping-kit."
    )
    log.warning(message)
    return message


def need(part: str) -> None:
    """Refuse to import a part of the kit that does not work with this Airflow.

    :raises MissingNameError: where something that it needs is missing, with its name.
    """
    message = switched_off(part)
    if message is not None:
        raise MissingNameError(message)


def _is_there(place: str) -> bool:
    module, _, path = place.partition(":")
    path, _, arguments = path.partition("(")
    owner, _, attribute = path.partition(".")
    found = private(f"{module}:{owner}")
    if found is None or not arguments:
        return found is not None and (not attribute or _has(found, attribute))
    return set(arguments.rstrip(")").split(", ")) <= set(inspect.signature(found).parameters)


def _has(owner: Any, attribute: str) -> bool:
    """Tell whether a class has an attribute, or gives it to its instances."""
    if not isinstance(owner, type) or hasattr(owner, attribute):
        return hasattr(owner, attribute)
    return any(
        attribute in vars(base).get("__annotations__", {})
        or attribute in getattr(getattr(vars(base).get("__init__"), "__code__", None), "co_names", ())
        for base in owner.__mro__
    )
