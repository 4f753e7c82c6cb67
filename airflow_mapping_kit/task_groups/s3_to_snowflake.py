"""Files from S3 to Snowflake: list, load each, move what was loaded, and transform."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

from airflow_mapping_kit.compat import AirflowSkipException, TaskGroup, task, task_group
from airflow_mapping_kit.generators.s3 import s3_contents
from airflow_mapping_kit.labels import label
from airflow_mapping_kit.operators.s3 import S3MoveKeysOperator
from airflow_mapping_kit.operators.snowflake import S3KeysToSnowflakeOperator
from airflow_mapping_kit.operators.snowflake.transform import TransformOperator

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence


def s3_to_snowflake(
    *,
    bucket: str,
    prefix: str,
    processed_prefix: str,
    table: str,
    stage: str,
    file_format: str,
    stage_prefix: str = "",
    source_prefix: str | None = None,
    match: str | None = None,
    batch_size: int = 1,
    match_by_column_name: str | None = None,
    columns_array: Sequence[str] | None = None,
    select: str | None = None,
    copy_options: Mapping[str, Any] | None = None,
    transform_sql: str | None = None,
    on_changed_file: Literal["fail", "load"] = "fail",
    extra_args: Mapping[str, Any] | None = None,
    keep_protection: bool = True,
    on_empty: Literal["skip", "fail"] = "skip",
    query_tag: str | None = None,
    schema: str | None = None,
    database: str | None = None,
    warehouse: str | None = None,
    role: str | None = None,
    aws_conn_id: str | None = "aws_default",
    requester_pays: bool = False,
    expected_bucket_owner: str | None = None,
    snowflake_conn_id: str = "snowflake_default",
    hook_params: Mapping[str, Any] | None = None,
    group_id: str = "s3_to_snowflake",
    default_args: Mapping[str, Any] | None = None,
) -> TaskGroup:
    """Load every file below a prefix into a table, move the loaded files, and transform the table.

    The tasks: `list` lists the files. For each file, `file.load` loads it into the table, and then `file.move` moves it
    to `processed_prefix`. At the same time as the moves, `transform` runs once all files have been tried and at least
    one was loaded. A file that fails to load stays where it is, and the others continue. A file that is changed after
    it was listed is not moved: the next run lists it again, and `on_changed_file` decides.

    :param bucket: the bucket. The stage must be on it (templated)
    :param prefix: the keys of the files begin with it: `landing/{{ ds_nodash }}/` (templated)
    :param processed_prefix: it replaces `source_prefix` in the key of a file that was loaded (templated)
    :param table: the table (templated)
    :param stage: the external stage (templated)
    :param file_format: a named file format, or its options in parentheses (templated)
    :param stage_prefix: the part of a key that the stage's URL already contains (templated)
    :param source_prefix: the beginning of a key, which is replaced. By default `prefix` (templated)
    :param match: a glob for the part of the key after the prefix: `*.csv` (templated)
    :param batch_size: files for each mapped task instance. Raise it if there are more files than Airflow maps over
    :param match_by_column_name: `"CASE_INSENSITIVE"` or `"CASE_SENSITIVE"`: match columns by name, which Parquet
        needs: see `S3KeysToSnowflakeOperator`
    :param columns_array: columns of the table, in the order of the files' columns
    :param select: expressions in place of the files' columns, `$1:number::int, $1:origin::text` (templated)
    :param copy_options: `TRUNCATECOLUMNS`, `INCLUDE_METADATA` and `LOAD_MODE` of `COPY INTO`
    :param transform_sql: one or more statements that Snowflake runs afterwards, or a `.sql` file with them. They must
        be idempotent (templated). Without it there is no `transform`
    :param on_changed_file: if a file was loaded before with other content: `"fail"` or `"load"`
    :param extra_args: properties of the moved objects, in place of those that they had, `{"ACL": ...,
        "SSEKMSKeyId": ...}`: see `S3MoveKeysOperator` (templated)
    :param keep_protection: whether an object stays where it is if it would lose its ACL, KMS key, retention or legal
        hold
    :param on_empty: if there are no files: `"skip"` everything, or `"fail"`
    :param query_tag: the tag of the statements in Snowflake's query history (templated)
    :param schema: the schema of names that have none (templated)
    :param database: the database of names that have none (templated)
    :param warehouse: the warehouse (templated)
    :param role: the role (templated)
    :param aws_conn_id: the Airflow connection to S3 (templated)
    :param requester_pays: whether the account of the connection pays for requests and transfers
    :param expected_bucket_owner: the account that must own the bucket, twelve digits (templated)
    :param snowflake_conn_id: the Airflow connection to Snowflake (templated)
    :param hook_params: further arguments of `SnowflakeHook` (templated)
    :param group_id: the name of the group
    :param default_args: arguments for all its tasks: `{"retries": 2, "pool": "snowflake"}`
    :return: the task group, to be placed with `>>`

    Example: `s3_to_snowflake(bucket="lake", prefix="landing/{{ ds_nodash }}/", source_prefix="landing/",
    processed_prefix="processed/", table="flights", stage="landing", stage_prefix="landing/",
    file_format="(TYPE = CSV SKIP_HEADER = 1)")` loads `landing/20130101/EWR.csv` and moves it to
    `processed/20130101/EWR.csv`.
    """
    session: dict[str, Any] = {
        "schema": schema,
        "database": database,
        "warehouse": warehouse,
        "role": role,
        "query_tag": query_tag,
        "snowflake_conn_id": snowflake_conn_id,
        "hook_params": hook_params,
    }

    bucket_access: dict[str, Any] = {
        "aws_conn_id": aws_conn_id,
        "requester_pays": requester_pays,
        "expected_bucket_owner": expected_bucket_owner,
    }

    with TaskGroup(group_id, default_args=dict(default_args or {})) as group:

        @task_group(group_id="file")
        def one_file(keys: Any, etags: Any) -> Any:
            load = S3KeysToSnowflakeOperator(
                task_id="load",
                keys=keys,
                table=table,
                stage=stage,
                stage_prefix=stage_prefix,
                bucket=bucket,
                file_format=file_format,
                match_by_column_name=match_by_column_name,
                columns_array=columns_array,
                select=select,
                copy_options=copy_options,
                on_changed_file=on_changed_file,
                map_index_template=label("{keys}"),
                **session,
            )
            load >> S3MoveKeysOperator(
                task_id="move",
                keys=keys,
                etags=etags,
                source_bucket=bucket,
                source_prefix=prefix if source_prefix is None else source_prefix,
                dest_prefix=processed_prefix,
                extra_args=extra_args,
                keep_protection=keep_protection,
                map_index_template=label("{keys}"),
                **bucket_access,
            )
            return load.output

        files = s3_contents.override(task_id="list", on_empty=on_empty)(
            bucket, prefix, match=match, batch_size=batch_size, **bucket_access
        )
        loads: Any = one_file.expand_kwargs(files)
        if transform_sql is not None:
            loaded(loads) >> TransformOperator(task_id="transform", sql=transform_sql, **session)
    return group


@task(trigger_rule="all_done")
def loaded(loads: Iterable[list[dict[str, Any]] | dict[str, Any]] | None) -> dict[str, int]:
    """Wait until every file has been tried, and go on if at least one was loaded now or before.

    :param loads: what the instances of `load` returned; those that failed returned nothing.
    """
    # Airflow 3 gives the rows themselves where there was one file, not a list with them.
    rows = [row for load in loads or () for row in ([load] if isinstance(load, dict) else load)]
    if not rows:
        raise AirflowSkipException("No file was loaded, so there is nothing to transform.")
    return {
        "loaded": sum(row["status"] == "loaded" for row in rows),
        "already_loaded": sum(row["status"] == "already_loaded" for row in rows),
        "rows": sum(row["rows_loaded"] for row in rows),
    }
