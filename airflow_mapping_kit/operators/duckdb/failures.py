"""Say what DuckDB's errors mean for a partition, and whether the same input would raise them again."""

from __future__ import annotations

from contextlib import contextmanager
from datetime import date
from typing import TYPE_CHECKING, Any

from airflow_mapping_kit.compat import AirflowException
from airflow_mapping_kit.exceptions import QueryError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

# How an error() that the kit put into a query is told from DuckDB's own errors. What it says follows.
REFUSED = "mapping-kit-refused:"


@contextmanager
def duckdb_errors_named(key: str, partition: Mapping[str, Any]) -> Iterator[None]:
    """Turn DuckDB's errors into ones that name the partition and the remedy.

    :raises QueryError: if the query doesn't fit the sources or the partition
    :raises AirflowException: for anything that may pass: a missing source, the network, memory
    """
    import duckdb

    try:
        yield
    except (
        duckdb.ParserException,
        duckdb.BinderException,
        duckdb.CatalogException,
        duckdb.ConversionException,
        duckdb.NotImplementedException,
    ) as error:
        # The line that DuckDB points at may be the kit's own EXECUTE.
        message = str(error).partition("\n\nLINE 1: ")[0].rstrip()
        hint = _cast_hint(message, partition)
        raise QueryError(f"partition {key}: the query doesn't fit: {message}{hint}") from error
    except duckdb.OutOfMemoryException as error:
        raise AirflowException(
            f"partition {key}: the query needs more than memory_limit and the scratch folder's disk: raise "
            f"memory_limit, lower threads, or set [mapping_kit] scratch_folder to a larger disk: {error}"
        ) from error
    except duckdb.Error as error:
        _, marker, refused = str(error).partition(REFUSED)
        if marker:
            raise QueryError(f"partition {key}: {refused.strip()}") from error
        remedy = "check that the sources exist and that this worker can read them"
        if "httpfs" in str(error):
            remedy = "install DuckDB's extension httpfs in the worker's image (INSTALL httpfs)"
        raise AirflowException(f"partition {key}: DuckDB failed; {remedy}: {error}") from error


def _cast_hint(message: str, partition: Mapping[str, Any]) -> str:
    if "explicit" not in message.lower() and not message.startswith("Conversion Error"):
        return ""
    texts = sorted(name for name, value in partition.items() if isinstance(value, str))
    # DuckDB shows the text that it could not convert. A value of the partition has met its cast then.
    for name in texts:
        if message.startswith("Conversion Error") and f'"{partition[name]}"' in message.replace("'", '"'):
            return (
                f"\nThat is the value of the dimension {name!r}: correct it, change the cast in the query, or compare "
                f"it as text, as in column::VARCHAR = ${name}"
            )
    dates = [name for name in texts if _is_date(partition[name])]
    if dates:
        return f"\nA partition's text is VARCHAR: write ${dates[0]}::DATE where the query wants a date"
    if texts:
        return f"\nA partition's text is VARCHAR: cast it to what the query wants, as in ${texts[0]}::INTEGER"
    return ""


def _is_date(text: str) -> bool:
    try:
        date.fromisoformat(text)
    except ValueError:
        return False
    return True
