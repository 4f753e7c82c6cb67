"""Airflow's file systems of object storage, with credentials that last, and their errors in one sentence."""

from __future__ import annotations

import logging
import time
from contextlib import contextmanager
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from airflow_mapping_kit.compat import AirflowException, file_system_of
from airflow_mapping_kit.exceptions import MappingKitError, SchemeError, StorageError
from airflow_mapping_kit.printable import one_line
from airflow_mapping_kit.storage.uris import AZURE, GOOGLE

if TYPE_CHECKING:
    from collections.abc import Iterator

    from airflow_mapping_kit.storage.uris import Uri

log = logging.getLogger(__name__)

# Google's older providers give a file system a token, which ends after an hour.
_KEPT_SECONDS = 1200
# Airflow knows Azure by Hadoop's name.
_SCHEMES = {"az": "abfs"}
_PROVIDERS = {
    **dict.fromkeys(GOOGLE, "apache-airflow-providers-google"),
    **dict.fromkeys(AZURE, "apache-airflow-providers-microsoft-azure"),
}
_REFUSED = {400, 401, 403}
# What Azure says of a request that is in order, but for another writer or its own pace.
_MAY_PASS = {"InvalidBlockList", "InvalidBlobOrBlock"}


class StoreError(AirflowException):
    """A store failed in a way that may pass."""


def file_system(uri: Uri) -> Any:
    """Return Airflow's file system for a place, with the credentials of its connection.

    :raises StorageError: if there is none, or the connection doesn't work
    :raises StoreError: if a later try may succeed
    """
    with errors(uri, "log in to"):
        try:
            return _made(uri.scheme, uri.connection, int(time.monotonic() // _KEPT_SECONDS))
        except FileNotFoundError as error:
            raise StorageError(
                f"The Airflow connection {uri.connection!r} names a file: {one_line(error)}"
            ) from error


def check_bucket(uri: Uri, doing: str) -> None:
    """Check that the bucket exists: an empty listing doesn't show that.

    :raises StorageError: if there is none
    """
    files = file_system(uri)
    try:
        files.info(uri.bucket)
    except FileNotFoundError as error:
        raise _told(uri, f"{doing} {uri}", error) from error
    except Exception as error:  # noqa: BLE001 -- who may write need not be allowed to ask this
        log.debug("Can't tell whether %s exists: %s", uri.bucket, one_line(error))


@lru_cache(maxsize=4)
def _made(scheme: str, connection: str | None, _: int) -> Any:
    if scheme in AZURE:
        # It logs twenty lines for each request.
        logger = logging.getLogger("azure.core.pipeline.policies.http_logging_policy")
        if logger.level == logging.NOTSET:
            logger.setLevel(logging.WARNING)
    return file_system_of(_SCHEMES.get(scheme, scheme), connection)


@contextmanager
def errors(uri: Uri, doing: str) -> Iterator[None]:
    """Turn a store's errors into one that a data engineer can act on.

    :param doing: what is done to the place: `"list"`
    :raises StorageError: where the same would fail again, with what to do
    :raises StoreError: where it may pass
    """
    try:
        yield
    except (MappingKitError, StoreError):
        raise
    except Exception as error:
        raise _told(uri, f"{doing} {uri}", error) from error


def _told(uri: Uri, what: str, error: Exception) -> Exception:
    """Return the error to raise in place of a store's. Prefixes are strangers', and so is what a server answers."""
    said = one_line(str(error).partition("\n")[0] or type(error).__name__)
    using = (
        f"with the Airflow connection {uri.connection!r}"
        if uri.connection
        else "without an Airflow connection"
    )
    failed = f"Can't {one_line(what)} {using}"
    bucket = "container" if uri.scheme in AZURE else "bucket"
    causes = list(_causes(error))
    if any(isinstance(one, ImportError) for one in causes) or said.startswith("No filesystem registered"):
        provider = _PROVIDERS.get(uri.scheme)
        remedy = f"pip install {provider}" if provider else "check the scheme"
        return SchemeError(f"{failed}: no provider of Airflow's has a file system for it ({said}): {remedy}")
    if any(isinstance(one, FileNotFoundError) for one in causes):
        return StorageError(
            f"{failed}: there is no {bucket} {uri.bucket!r}, or none that it may see: check its name, and the account "
            f"of the connection"
        )
    if any(_is_refusal(one) for one in causes):
        return StorageError(
            f"{failed}: refused ({said}): check the {bucket}'s name, and that the connection's credentials may read, "
            f"write, list and delete there"
        )
    if any(isinstance(one, ValueError) or "NotFound" in type(one).__name__ for one in causes):
        return StorageError(
            f"{failed}: {said}. Check that the connection exists and has credentials, and name it in the URI: "
            f"{uri.scheme}://connection@{uri.bucket}"
        )
    return StoreError(f"{failed}: {said}; it may pass: run the task again.")


def _is_refusal(error: BaseException) -> bool:
    if getattr(error, "error_code", None) in _MAY_PASS:
        return False
    # gcsfs has no more than this to say of a 403, and of a 400.
    if isinstance(error, PermissionError) or (
        isinstance(error, OSError) and str(error).startswith("Forbidden")
    ):
        return True
    if isinstance(error, ValueError) and str(error).startswith("Bad Request"):
        return True
    if type(error).__name__ in {"ClientAuthenticationError", "RefreshError", "DefaultCredentialsError"}:
        return True
    statuses = (getattr(error, name, None) for name in ("status_code", "code"))
    return any(str(status) == str(refused) for status in statuses for refused in _REFUSED)


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__
