"""What surrounds a task that runs: its context, its XComs, its logs."""

from __future__ import annotations

import json
import logging
import re
import threading
from contextlib import contextmanager, nullcontext
from http import HTTPStatus
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, cast

from airflow_mapping_kit.compat.names import AIRFLOW_3, AirflowFailException
from airflow_mapping_kit.compat.xcoms import plain_xcoms
from airflow_mapping_kit.exceptions import MappingKitError

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping

    from airflow.io.path import ObjectStoragePath
    from airflow.utils.context import Context
    from jinja2 import Environment


_one_thread = threading.RLock()
# As JSON writes them: half of a pair, and NUL after any number of whole backslashes.
_SURROGATE = re.compile(r"\\u[dD][89a-fA-F]")
_NUL = re.compile(r"(?<!\\)(?:\\\\)*\\u0000")


@contextmanager
def asking() -> Iterator[None]:
    """Let one thread of a task at a time ask Airflow.

    In `dag.test()` of Airflow 3 the supervisor that tasks ask is in the same process, and while it answers one thread
    there is none for the others: they fail.
    """
    with _one_thread if AIRFLOW_3 else nullcontext():
        yield


@contextmanager
def bad_input_fails_at_once() -> Iterator[None]:
    """Fail the task without retries on an error that the same input would raise again.

    :raises AirflowFailException: in place of any `MappingKitError` raised inside, with its text.
    """
    try:
        yield
    except MappingKitError as error:
        raise AirflowFailException(str(error)) from error


def custom_xcom_backend() -> bool:
    """Tell whether XComs are kept by a backend of the deployment's own."""
    return xcom_backend() is not plain_xcoms()


def from_xcom_json(text: str) -> Any:
    """Return the value of which `xcom_json` made a text.

    :raises Exception: of whatever kind, if Airflow refuses to.
    """
    if AIRFLOW_3:
        from airflow.sdk.serde import deserialize

        return deserialize(json.loads(text))
    from airflow.utils.json import XComDecoder

    return json.loads(text, cls=XComDecoder)


def has_state_store() -> bool:
    """Tell whether instances have a store that outlives their tries: from Airflow 3.3 on."""
    return find_spec("airflow.state") is not None


def is_of_no_instance(error: BaseException) -> bool:
    """Tell whether a store of Airflow 3.3 refused an instance because it has been given another try."""
    # Of the API's answer, which in `dag.test()` comes as it is, the supervisor passes on what it says.
    answer = getattr(error, "response", None)
    said = getattr(getattr(error, "error", None), "detail", None)
    status = said.get("status_code") if isinstance(said, dict) else getattr(answer, "status_code", None)
    return status == HTTPStatus.NOT_FOUND


@contextmanager
def running_in(context: Mapping[str, Any]) -> Iterator[None]:
    """Let `get_current_context` answer with a context, as within a task."""
    if AIRFLOW_3:
        from airflow.sdk.execution_time.context import set_current_context
    else:
        from airflow.models.taskinstance import set_current_context

    with set_current_context(cast("Context", context)):
        yield


def sql_of(given: Any, jinja_env: Environment, resolved: Collection[int] | None) -> Any:
    """Return the text of the `.sql` file that an argument names, not yet rendered; any other as it is.

    :param resolved: the ids of what came from XComs, where nothing is the name of a file.
    :raises jinja2.TemplateNotFound: if there is no such file in the DAG's folder or template search path.
    """
    if not isinstance(given, str) or not given.endswith(".sql") or id(given) in (resolved or ()):
        return given
    return given if jinja_env.loader is None else jinja_env.loader.get_source(jinja_env, given)[0]


def file_system_of(scheme: str, conn_id: str | None) -> Any:
    """Return a new file system of object storage, with the credentials that its connection gives now.

    :raises ValueError: if no provider has one for the scheme.
    """
    if not TYPE_CHECKING and AIRFLOW_3:
        from airflow.sdk.io import get_fs
    else:
        from airflow.io import get_fs
    with asking():
        return get_fs(scheme, conn_id)


def storage_path(path: str) -> ObjectStoragePath:
    """Return a file in object storage, or of this machine."""
    if not TYPE_CHECKING and AIRFLOW_3:
        from airflow.sdk import ObjectStoragePath
    else:
        from airflow.io.path import ObjectStoragePath
    return ObjectStoragePath(path)


def template_macros() -> Any:
    """Return what templates call `macros`, without those of plugins."""
    if AIRFLOW_3:
        from airflow.sdk.execution_time import macros
    else:
        from airflow import macros
    return macros


@contextmanager
def without_logs() -> Iterator[None]:
    """Let Airflow log nothing in this process for a while."""
    before = logging.root.manager.disable
    logging.disable(logging.CRITICAL)
    if AIRFLOW_3:
        # It logs past the standard library.
        import structlog

        configured = structlog.get_config()
        structlog.configure(processors=[_dropped])
    try:
        yield
    finally:
        logging.disable(before)
        if AIRFLOW_3:
            structlog.configure(**configured)


def _dropped(*_: Any) -> Any:
    import structlog

    raise structlog.DropEvent


def xcom_backend() -> Any:
    """Return the class that tasks write and read XComs with.

    Airflow 3 has tasks write them, so beside its database too only this one knows their form.
    """
    if AIRFLOW_3:
        from airflow.sdk.execution_time.xcom import XCom
    else:
        from airflow.models.xcom import XCom
    return XCom


def pushed_value(ti_key: Any, key: str) -> Any:
    """Return an XCom of an instance, `None` if it has none such: for Airflow 2's web server.

    :param ti_key: the key of the instance
    """
    return plain_xcoms().get_value(ti_key=ti_key, key=key)


def xcom_json(value: Any) -> str:
    """Return a value as the JSON text that an XCom holds of it.

    :raises Exception: of whatever kind, if an XCom cannot hold it.
    """
    if AIRFLOW_3:
        from airflow.sdk.serde import serialize

        # The API that a task hands its XComs to takes no NaN and no infinity.
        text = json.dumps(serialize(value), allow_nan=False)
        _check_characters(text)
        return text
    from airflow.utils.json import XComEncoder

    return json.dumps(value, cls=XComEncoder)


def _check_characters(text: str) -> None:
    """Refuse what a column of JSON can't hold in PostgreSQL, nor a request in UTF-8. Airflow 2 keeps bytes.

    :raises ValueError: naming it.
    """
    if "\\u0000" not in text and not _SURROGATE.search(text):
        return
    # Only here, as it takes longer: a backslash may itself be escaped, and pairs of surrogates are characters.
    whole = json.dumps(json.loads(text), ensure_ascii=False)
    if _NUL.search(whole):
        raise ValueError("text with the character NUL, U+0000, which JSON in PostgreSQL can't hold")
    try:
        whole.encode()
    except UnicodeEncodeError as error:
        half = ascii(whole[error.start : error.end])
        raise ValueError(
            f"text with half a surrogate pair, {half}, which UTF-8 can't hold: decode it with the encoding that "
            f"it was written in, or with errors='backslashreplace'"
        ) from None
