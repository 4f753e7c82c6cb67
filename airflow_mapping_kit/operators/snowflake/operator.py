"""Load files from S3 into a table of Snowflake, each exactly once."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Any

from airflow_mapping_kit.assets import mark_changed
from airflow_mapping_kit.checkpoints.owners import check_try, giving_way, owner_of
from airflow_mapping_kit.compat import bad_input_fails_at_once
from airflow_mapping_kit.exceptions import MappingKitError, StorageError, TargetError
from airflow_mapping_kit.failures import said
from airflow_mapping_kit.lineage import collected
from airflow_mapping_kit.lineage.done import Done
from airflow_mapping_kit.operators.checked import CheckedOperator
from airflow_mapping_kit.operators.snowflake.answers import before, outcome, rows_by_key
from airflow_mapping_kit.operators.snowflake.copying import Copying, check_enclosed, copying
from airflow_mapping_kit.operators.snowflake.hook import check_session, connect, hook_of, query_url
from airflow_mapping_kit.operators.snowflake.links import QUERY_URL, QueryLink
from airflow_mapping_kit.operators.snowflake.names import ObjectName, literal, parse_name
from airflow_mapping_kit.operators.snowflake.refusals import refusals
from airflow_mapping_kit.operators.snowflake.session import Session
from airflow_mapping_kit.operators.snowflake.statements import copy_files, earlier_loads, listed, slices
from airflow_mapping_kit.partitions.sequences import shown
from airflow_mapping_kit.printable import one_line
from airflow_mapping_kit.reading.records import error_of
from airflow_mapping_kit.results import SUCCESS
from airflow_mapping_kit.storage.buckets import given_keys

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from airflow.utils.context import Context

    from airflow_mapping_kit.checkpoints.owners import Owner
    from airflow_mapping_kit.lineage.datasets import Lineage

# Snowflake's limit for FILES.
MAX_FILES = 1000
_ON_CHANGED_FILE = ("fail", "load")


class S3KeysToSnowflakeOperator(CheckedOperator):
    """Load exactly these files from an external stage into a table with `COPY INTO`, in one transaction.

    Either all files are in the table afterwards, or none. The transaction is committed only when Snowflake's answer
    says of each file, by its whole address, that it is loaded. A file that the table has already is not loaded again,
    and its status is `already_loaded`. So a retry after a crash, or after a lost answer, loads nothing twice. Every
    other result (a file that is skipped, partly loaded, failed, or not in the answer) is an error that names the file,
    without retries. If a retry can help (the network, a lock, a busy warehouse), Airflow's retries apply. Options of
    the stage or table that would weaken this (`ON_ERROR`, `FORCE`, `PURGE`, `LOAD_UNCERTAIN_FILES`,
    `TRUNCATECOLUMNS`, `ENFORCE_LENGTH`, `RETURN_FAILED_ONLY`) are overridden in the statement.

    By default the first column of a file goes into the first column of the table, and so on. Parquet, JSON, Avro and
    ORC have no order of columns: set `match_by_column_name` or `select`. Otherwise Snowflake loads them only into a
    table with one `VARIANT` column.

    If the task is stopped (marked failed, timed out, its worker shut down), it cancels its statement in the warehouse
    and commits nothing more.

    These limits are from Snowflake's documentation, because the kit's tests run on fakesnow. A table remembers for 64
    days which files it has loaded. After that, Snowflake skips a file that was last modified more than 64 days ago
    and whose load it doesn't know; here that is an error. The load history, which shows that a file was changed under
    its name, goes back 14 days and 10,000 files. A file that is changed after that is loaded beside its old rows. A
    table that is truncated or replaced forgets its files. Loads by Snowpipe are remembered separately. Two tasks may
    not load the same file at the same moment: set `max_active_runs=1`.

    ```python
    S3KeysToSnowflakeOperator.partial(
        task_id="load",
        table="lake.public.flights",
        stage="lake.public.landing",  # URL = 's3://bucket/landing/'
        stage_prefix="landing/",
        file_format="(TYPE = PARQUET)",
        match_by_column_name="CASE_INSENSITIVE",
    ).expand(keys=s3_keys("bucket", "landing/"))  # ["landing/20130101/EWR.parquet", ...]
    ```

    returns `[{"key": "landing/20130101/EWR.parquet", "status": "loaded", "rows_parsed": 305, "rows_loaded": 305,
    "query_id": "01b2c3d4-0000-..."}]`. A file that the table has already has the status `"already_loaded"` and 0 rows.

    :param keys: the key of one file, or a batch of keys. Snowflake loads up to 1,000 files of a batch in parallel
        (templated, but values of an XCom are not rendered)
    :param table: the table, `flights`, `public.flights` or `lake.public.flights`. As in SQL, a part in double quotes
        keeps its case, and any other is upper case (templated)
    :param stage: the external stage on the files' bucket, a name like the table's (templated)
    :param stage_prefix: the part of a key that the stage's URL already contains: `landing/` if the URL is
        `s3://bucket/landing/` (templated)
    :param bucket: the bucket of the keys. If it is set, a stage on another bucket is an error (templated)
    :param file_format: a named file format, or its options in parentheses as in SQL, `(TYPE = PARQUET)`. They become
        part of the statement: write them in the DAG, never fill them from an XCom (templated)
    :param match_by_column_name: `"CASE_INSENSITIVE"` or `"CASE_SENSITIVE"`: match columns by name. Snowflake ignores
        columns that the table doesn't have, and sets columns that the file doesn't have to NULL
    :param columns_array: columns of the table, in the order of the file's columns: `["number", "origin"]`
    :param select: expressions in place of the file's columns, the text between SELECT and FROM of a query of the
        stage: `$1:number::int, $1:origin::text` for Parquet, `$2, $1::date, METADATA$FILENAME` for CSV. They become
        part of the statement: write them in the DAG, never fill them from an XCom (templated)
    :param copy_options: `TRUNCATECOLUMNS` (`True` cuts text that is too long, else it is an error), `INCLUDE_METADATA`
        (columns with metadata of the file, `{"loaded_from": "METADATA$FILENAME"}`) and `LOAD_MODE` for Iceberg tables.
        Options with which a file could be loaded twice, in part or not at all are refused
    :param on_changed_file: if a file was changed after the table loaded it: `"fail"`, or `"load"` it beside its old
        rows, which stay
    :param query_tag: the tag of the session's statements in Snowflake's query history, up to 2,000 characters:
        `"{{ dag.dag_id }}.{{ task.task_id }}"`. By default that of the connection (templated)
    :param schema: the schema of names that have none. By default the connection's (templated)
    :param database: the database of names that have none. By default the connection's (templated)
    :param warehouse: the warehouse. By default the connection's (templated)
    :param role: the role that loads. By default the connection's (templated)
    :param snowflake_conn_id: the Airflow connection, with a password or a private key (templated)
    :param hook_params: further arguments of `SnowflakeHook`, `{"session_parameters": {"STATEMENT_TIMEOUT_IN_SECONDS":
        600}}`. They take precedence over the connection (templated)
    :raises StorageError: if a key is not valid, occurs twice, or doesn't start with `stage_prefix`
    :raises TargetError: if Snowflake doesn't know the table, stage or format, refuses the login, the stage has another
        location than the keys, or a file isn't loaded
    :raises AirflowException: if the task is stopped
    """

    template_fields = (
        "keys",
        "table",
        "stage",
        "stage_prefix",
        "bucket",
        "file_format",
        "select",
        "query_tag",
        "schema",
        "database",
        "warehouse",
        "role",
        "snowflake_conn_id",
        "hook_params",
    )
    template_fields_renderers = {"keys": "json", "file_format": "sql", "select": "sql"}  # noqa: RUF012  as Airflow has it
    operator_extra_links = (QueryLink(),)
    ui_color = "#d9f2fb"
    done: Done | None = None
    _session: Session | None = None
    _killed = False

    def __init__(
        self,
        *,
        keys: str | Sequence[str],
        table: str,
        stage: str,
        stage_prefix: str = "",
        bucket: str | None = None,
        file_format: str,
        match_by_column_name: str | None = None,
        columns_array: Sequence[str] | None = None,
        select: str | None = None,
        copy_options: Mapping[str, Any] | None = None,
        on_changed_file: str = "fail",
        query_tag: str | None = None,
        schema: str | None = None,
        database: str | None = None,
        warehouse: str | None = None,
        role: str | None = None,
        snowflake_conn_id: str = "snowflake_default",
        hook_params: Mapping[str, Any] | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.check_fixed(
            table=table,
            stage=stage,
            match_by_column_name=match_by_column_name,
            columns_array=columns_array,
            select=select,
            copy_options=copy_options,
            on_changed_file=on_changed_file,
            query_tag=query_tag,
            hook_params=hook_params,
        )
        self.keys = keys
        self.table = table
        self.stage = stage
        self.stage_prefix = stage_prefix
        self.bucket = bucket
        self.file_format = file_format
        self.match_by_column_name = match_by_column_name
        self.columns_array = columns_array
        self.select = select
        self.copy_options = copy_options
        self.on_changed_file = on_changed_file
        self.query_tag = query_tag
        self.schema = schema
        self.database = database
        self.warehouse = warehouse
        self.role = role
        self.snowflake_conn_id = snowflake_conn_id
        self.hook_params = hook_params

    @classmethod
    def check_fixed(
        cls,
        *,
        match_by_column_name: str | None = None,
        columns_array: Sequence[str] | None = None,
        select: str | None = None,
        copy_options: Mapping[str, Any] | None = None,
        on_changed_file: str = "fail",
        query_tag: str | None = None,
        hook_params: Mapping[str, Any] | None = None,
        **others: Any,
    ) -> None:
        """Check what can be known before Snowflake is asked."""
        if on_changed_file not in _ON_CHANGED_FILE:
            raise TargetError(f"on_changed_file={on_changed_file!r}: write 'fail' or 'load'")
        for argument in others.keys() & {"table", "stage"}:
            name = others[argument]
            if not isinstance(name, str) or "{{" not in name:
                parse_name(argument, name)
        check_session(query_tag, hook_params)
        copying(columns_array, select, match_by_column_name, copy_options, rendered=False)

    def execute(self, context: Context) -> list[dict[str, Any]]:
        """Load the files and return a row for each, in their order."""
        owner = owner_of(context)
        with giving_way(owner), bad_input_fails_at_once():
            names = self._names_by_key()
            parse_name("table", self.table)
            parse_name("stage", self.stage)
            self._file_format(None)
            check_session(self.query_tag, self.hook_params)
            how = copying(self.columns_array, self.select, self.match_by_column_name, self.copy_options)
            self._session = Session(self._connect, ended=lambda: self._killed)
            with self._session as session:
                results = self._load(session, names, how, context, owner)
            self._note(results)
            # What was loaded before too: a try that was killed after its COMMIT has told nobody.
            mark_changed(names, context=context)
            return results

    def lineage(self) -> Lineage:
        """Return the folders of the files, and the table, by the names that OpenLineage has."""
        from airflow_mapping_kit.lineage.databases import Database
        from airflow_mapping_kit.lineage.datasets import Lineage, sources_of

        table = Database(self.snowflake_conn_id, hook_of(self)).table(parse_name("table", self.table))
        folders = (f"s3://{self.bucket}/{key.rpartition('/')[0]}" for key in given_keys(self.keys))
        return Lineage(sources_of(folders) if self.bucket else [], [table])

    def get_openlineage_facets_on_complete(self, _: Any) -> Any:
        """Return what an instance has done, for Airflow's provider for OpenLineage, which looks for this name."""
        from airflow_mapping_kit.lineage.events import operator_lineage

        return operator_lineage(self.lineage(), self.done)

    def _note(self, results: list[dict[str, Any]]) -> None:
        self.done = Done()
        for row in results:
            self.done.states[SUCCESS] += 1
            if row["status"] == "loaded":
                self.done.wrote(rows=row["rows_loaded"])
                self.done.query_id = row["query_id"]
        collected.tell(self)

    def on_kill(self) -> None:
        """Cancel what runs in the warehouse, and commit nothing more."""
        self._killed = True
        if self._session is not None:
            self._session.cancel()

    def _connect(self) -> Any:
        with refusals("The login"):
            return connect(self)

    def _names_by_key(self) -> dict[str, str]:
        """Return what the statement calls each key: the part that follows the stage's URL."""
        prefix = self.stage_prefix
        if not isinstance(prefix, str) or (prefix and not prefix.endswith("/")):
            raise StorageError(
                f"stage_prefix={prefix!r} doesn't end with a slash: write it, and the stage's URL, with one"
            )
        keys = given_keys(self.keys)
        if not keys:
            raise StorageError(
                "keys is empty: there is no file to load; let the generator skip the task instead"
            )
        for key in keys:
            if key.endswith("/"):
                raise StorageError(f"keys holds {shown(key)}, which is no file's key")
            if not key.startswith(prefix):
                raise StorageError(
                    f"the key {shown(key)} doesn't start with stage_prefix={prefix!r}: no file was loaded"
                )
        return {key: key[len(prefix) :] for key in keys}

    def _load(
        self, session: Session, names: Mapping[str, str], how: Copying, context: Context, owner: Owner | None
    ) -> list[dict[str, Any]]:
        with refusals("The session"):
            (where,) = session.run(
                "SELECT CURRENT_DATABASE(), CURRENT_SCHEMA(), CURRENT_ORGANIZATION_NAME(), CURRENT_ACCOUNT_NAME()"
            )
        *places, organization, account = where.values()
        table = self._full_name("table", self.table, places)
        stage = self._full_name("stage", self.stage, places)
        file_format = self._file_format(places)
        results: list[dict[str, Any]] = []
        failures: list[str] = []
        statements = list(slices(names, MAX_FILES))
        history = [earlier_loads(session, table, asked.values()) for asked in statements]
        try:
            session.run("BEGIN")
            for asked, loads in zip(statements, history, strict=True):
                try:
                    answer = copy_files(session, table, stage, file_format, how, asked)
                finally:
                    # That of a query that failed is looked for most.
                    query_id = session.query_id
                    self._tell_query(query_id, query_url(organization, account, query_id), context)
                rows = rows_by_key(answer, asked, bucket=self.bucket)
                for key, name in asked.items():
                    row = rows.get(key)
                    status, why = outcome(
                        row, before(loads, key, name, row), changed_is_error=self.on_changed_file == "fail"
                    )
                    if why:
                        failures.append(f"{key!r}: {one_line(why)}")
                    results.append({**_result(key, status, row), "query_id": query_id})
            if failures:
                raise TargetError(
                    f"No file was loaded into {table}, because {len(failures)} of {len(names)} can't be:\n"
                    + listed("\n", failures)
                )
            # A try that froze since its COPY would add the rows that the next one has added.
            check_try(context, owner)
            session.run("COMMIT")
        except MappingKitError:
            # Closing the session would do it too; other errors leave it to that, for the line may be dead.
            with suppress(Exception):
                session.run("ROLLBACK")
            raise
        for result in results:
            self.log.info("%s: %s, %d rows", one_line(result["key"]), result["status"], result["rows_loaded"])
        return results

    def _tell_query(self, query_id: str | None, url: str | None, context: Context) -> None:
        if query_id is None:
            return
        self.log.info("Snowflake ran COPY INTO as query %s%s", query_id, f": {url}" if url else "")
        if url and "ti" in context:
            try:
                context["ti"].xcom_push(key=QUERY_URL, value=url)
            except Exception as error:  # noqa: BLE001 -- a button is no reason to take a load back
                self.log.warning("The button to the query can't be kept: %s", said(error_of(error)))

    def _file_format(self, places: Sequence[str | None] | None) -> str:
        text = self.file_format.strip() if isinstance(self.file_format, str) else self.file_format
        if isinstance(text, str) and text.startswith("("):
            if not text.endswith(")"):
                raise TargetError(
                    f"file_format={self.file_format!r} opens a parenthesis and doesn't end with one"
                )
            check_enclosed("file_format", text[1:-1])
            return text
        if places is None:
            parse_name("file_format", text)
            return ""
        return f"(FORMAT_NAME = {literal(str(self._full_name('file_format', text, places)))})"

    def _full_name(self, argument: str, text: str, places: Sequence[str | None]) -> ObjectName:
        """Return a name with the database and schema that it leaves out: those of the session."""
        parts = parse_name(argument, text)
        missing = places[: len(ObjectName._fields) - len(parts)]
        for place, value, given in zip(
            ("database", "schema"), missing, (self.database, self.schema), strict=False
        ):
            if value is None:
                raise TargetError(
                    f"{argument}={text!r} has no {place}, and the session has none"
                    + (f": {place}={given!r} doesn't exist, or the role may not use it" if given else "")
                    + f"; write it into {argument}, or into the connection {self.snowflake_conn_id!r}"
                )
        return ObjectName(*missing, *parts)  # type: ignore[arg-type]  # none of them is None: checked above


def _result(key: str, status: str, row: Mapping[str, Any] | None) -> dict[str, Any]:
    counts = {} if row is None or status != "loaded" else row
    return {
        "key": key,
        "status": status,
        "rows_parsed": int(counts.get("rows_parsed") or 0),
        "rows_loaded": int(counts.get("rows_loaded") or 0),
    }
