"""Where plans, results and reports are stored that are too large for an XCom: one place per deployment."""

from __future__ import annotations

import hashlib
from urllib.parse import quote

from airflow_mapping_kit.exceptions import StorageError

# What the folder is called that is made among the XComs.
_BESIDE_XCOMS = "mapping_kit"
# What names of files may hold as they are, and Airflow's own ids of runs do.
_SAFE = ":+~"
_NAME_BYTES = 250
# Executors whose tasks run where the scheduler does: all of them on one machine.
_ON_THIS_MACHINE = {"LocalExecutor", "SequentialExecutor"}
_EXAMPLE = "s3://aws_default@bucket/mapping_kit"


def root() -> str | None:
    """Return the place, `None` if there is none: then Airflow's XComs are used.

    It is `[mapping_kit] storage`, or else the folder `mapping_kit` beside the deployment's large XComs, if they are in
    object storage, because all workers can reach that.

    :return: a URI, or an absolute path, without a slash at its end.
    :raises StorageError: if not all workers can reach it.
    """
    place, beside = _places()
    if place:
        _check("[mapping_kit] storage", place)
        return place
    if not beside:
        return None
    _check("[common.io] xcom_objectstorage_path", beside)
    return f"{beside}/{_BESIDE_XCOMS}"


def is_set() -> bool:
    """Tell whether the deployment sets a place, valid or not."""
    return any(_places())


def folder(dag_id: str, run_id: str, task_id: str) -> str:
    """Return the folder of a task of a run in the place: `s3://aws@lake/kit/ship/manual__2024/orders`.

    :raises StorageError: if there is no place.
    """
    base = root()
    if base is None:
        raise StorageError(
            "There is no storage for this. Set a place that all workers can reach: [mapping_kit] storage = "
            f"{_EXAMPLE}"
        )
    return "/".join([base, *map(_quoted, (dag_id, run_id, task_id))])


def is_local(uri: str) -> bool:
    """Tell whether a URI is a path of this machine."""
    return uri.startswith(("/", "file://"))


def _places() -> tuple[str, str]:
    from airflow.configuration import conf

    names = (("mapping_kit", "storage"), ("common.io", "xcom_objectstorage_path"))
    own, beside = (conf.get(*name, fallback="").strip().rstrip("/") for name in names)
    return own, beside


def _quoted(name: str) -> str:
    # A task may be called `..`, and the id of a run have 250 characters of any alphabet: a name has at most 255 bytes.
    quoted = quote(name, safe=_SAFE) if name.strip(".") else name.replace(".", "%2E")
    if len(quoted) <= _NAME_BYTES:
        return quoted
    return f"{quoted[: _NAME_BYTES - 13]}~{hashlib.sha256(name.encode()).hexdigest()[:12]}"


def _check(setting: str, place: str) -> None:
    from airflow.configuration import conf

    if "://" not in place and not place.startswith("/"):
        raise StorageError(
            f"{setting} is {place!r}, which is not a place. Set one that all workers can reach, such as {_EXAMPLE}, "
            "with the Airflow connection before the @"
        )
    executors = {
        name.strip().rpartition(":")[2].rpartition(".")[2]
        for name in conf.get("core", "executor", fallback="").split(",")
    }
    if is_local(place) and not executors <= _ON_THIS_MACHINE:
        raise StorageError(
            f"{setting} is {place!r}, a folder of one machine. With {', '.join(sorted(executors))} tasks run on "
            "several machines, and would not find each other's files. Set object storage: [mapping_kit] storage = "
            f"{_EXAMPLE}"
        )
