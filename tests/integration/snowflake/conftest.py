"""A Snowflake over TLS, a warehouse of its own for each test, and a proxy that loses answers."""

from __future__ import annotations

import contextlib
import gzip
import http.client
import http.server
import itertools
import json
import os
import ssl
import threading

import pytest

from stack.processes import Processes
from stack.snowflake import DATABASE, Snowflake

_databases = itertools.count(1)


@pytest.fixture(scope="session")
def snowflake(s3_server, tmp_path_factory):
    """Start a Snowflake whose stages are on the S3 server, and trust its certificate."""
    log = tmp_path_factory.mktemp("servers") / "snowflake.log"
    with (
        Processes() as processes,
        pytest.MonkeyPatch.context() as environment,
    ):
        server = Snowflake(
            processes, log, s3_endpoint_url=s3_server, s3_access_key="thequickfox", s3_secret_key="jumps'over"
        )
        for name, value in server.environment.items():
            environment.setenv(name, value)
        yield server


class Warehouse:
    """A database of its own with the table FLIGHTS and the stage LANDING, and the bucket under that."""

    def __init__(self, connection, bucket, client):
        self.connection = connection
        self.bucket = bucket
        self.client = client
        self.database = connection["extra"]["database"]
        self.sql("CREATE TABLE FLIGHTS (NUMBER INT, ORIGIN VARCHAR)")
        self.sql(f"CREATE STAGE LANDING URL = 's3://{bucket}/landing/'")

    def sql(self, statement):
        from airflow.providers.snowflake.hooks.snowflake import SnowflakeHook

        with (
            contextlib.closing(SnowflakeHook("snowflake_default").get_conn()) as connection,
            contextlib.closing(connection.cursor()) as cursor,
        ):
            return cursor.execute(statement).fetchall()

    def rows(self, table="FLIGHTS"):
        return sorted(self.sql(f"SELECT * FROM {table}"))

    def put(self, key, body):
        self.client.put_object(Bucket=self.bucket, Key=key, Body=body)
        return key

    def operator(self, keys, **arguments):
        from airflow_mapping_kit.operators.snowflake import S3KeysToSnowflakeOperator

        defaults = {
            "table": "flights",
            "stage": "landing",
            "stage_prefix": "landing/",
            "file_format": "(TYPE = CSV)",
        }
        return S3KeysToSnowflakeOperator(task_id="load", keys=keys, **{**defaults, **arguments})

    def load(self, keys, **arguments):
        """Return what became of each key, without the query's id, which is another each time."""
        rows = self.operator(keys, **arguments).execute({})
        assert all(len(row.pop("query_id")) == 36 for row in rows)
        return rows


@pytest.fixture
def warehouse(snowflake, s3_bucket, s3_client, monkeypatch):
    connection = snowflake.connection(database=f"{DATABASE}{next(_databases)}")
    monkeypatch.setenv("AIRFLOW_CONN_SNOWFLAKE_DEFAULT", json.dumps(connection))
    return Warehouse(connection, s3_bucket, s3_client)


class Proxy:
    """Stands before the server, knows the statements, and can lose an answer or keep it back.

    :param statement: how the statement starts that something happens to.
    :param fault: "cut" loses the answer, once; "hold" keeps it back for good; "hold before" the request; or
        what to call before the answer is passed on.
    """

    def __init__(self, snowflake, statement="", fault=""):
        self.snowflake = snowflake
        self.statement, self.fault = statement, fault
        self.statements = []
        # What came with each login.
        self.logins = []
        self.arrived = threading.Condition()
        self.reached = threading.Event()
        self.released = threading.Event()
        proxy = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self):
                proxy.forward(self)

            do_GET = do_POST

            def log_message(self, *_):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.server.handle_error = lambda *_: None
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(snowflake.certificate, snowflake.certificate.with_name("key.pem"))
        self.server.socket = context.wrap_socket(
            self.server.socket, server_side=True, do_handshake_on_connect=False
        )
        self.port = self.server.server_address[1]
        self.trust = ssl.create_default_context(cafile=snowflake.certificate)

    def forward(self, handler):
        body = handler.rfile.read(int(handler.headers.get("Content-Length", 0)))
        plain = gzip.decompress(body) if handler.headers.get("Content-Encoding") == "gzip" else body
        asked = json.loads(plain) if plain else {}
        sql = asked.get("sqlText", "")
        if "login-request" in handler.path:
            self.logins.append(asked["data"])
        if sql:
            with self.arrived:
                self.statements.append(sql)
                self.arrived.notify_all()
        faulty = bool(self.statement) and sql.startswith(self.statement) and not self.reached.is_set()
        if faulty and self.fault == "hold before":
            self.hold()
            return
        upstream = http.client.HTTPSConnection("localhost", self.snowflake.port, context=self.trust)
        with contextlib.closing(upstream):
            upstream.request(handler.command, handler.path, body, dict(handler.headers))
            answer = upstream.getresponse()
            content = answer.read()
        if faulty:
            if self.fault == "hold":
                self.hold()
            self.reached.set()
            if callable(self.fault):
                self.fault()
            else:
                handler.close_connection = True
                return
        handler.send_response(answer.status)
        for name, value in answer.getheaders():
            if name.lower() not in {"content-length", "transfer-encoding", "date", "server"}:
                handler.send_header(name, value)
        handler.send_header("Content-Length", str(len(content)))
        handler.end_headers()
        handler.wfile.write(content)

    def sent(self, statement, seconds):
        """Wait until such a statement came; tell whether it did."""
        with self.arrived:
            return self.arrived.wait_for(
                lambda: any(sql.startswith(statement) for sql in self.statements), seconds
            )

    def hold(self):
        self.reached.set()
        self.released.wait(60)

    def __enter__(self):
        self.thread = threading.Thread(target=self.server.serve_forever, args=(0.05,), daemon=True)
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.released.set()
        self.server.shutdown()
        self.thread.join()
        self.server.server_close()


@pytest.fixture
def through_proxy(warehouse, snowflake, monkeypatch):
    """Return what puts a proxy between the operators and the server."""
    with contextlib.ExitStack() as stack:

        def start(statement="", fault=""):
            proxy = stack.enter_context(Proxy(snowflake, statement, fault))
            connection = json.loads(os.environ["AIRFLOW_CONN_SNOWFLAKE_DEFAULT"])
            connection["extra"]["port"] = proxy.port
            monkeypatch.setenv("AIRFLOW_CONN_SNOWFLAKE_DEFAULT", json.dumps(connection))
            return proxy

        yield start
