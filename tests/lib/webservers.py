"""Airflow's web server on a port of this machine, from the tests' own database: `quagga` is its admin."""

from __future__ import annotations

import contextlib
import json
import socket
import threading
import uuid

import pytest

from airflow_mapping_kit.compat import without_logs
from airflows import AIRFLOW_3


@contextlib.contextmanager
def serving(folder):
    """Serve, and give the address."""
    # In this process its log would be among the answers.
    with pytest.MonkeyPatch.context() as patch, without_logs():
        end, run, port = _served_by_3(patch, folder) if AIRFLOW_3 else _served_by_2(patch)
        thread = threading.Thread(target=run)
        thread.start()
        try:
            yield f"http://127.0.0.1:{port}"
        finally:
            end()
            thread.join()


def _served_by_3(patch, folder):
    import uvicorn
    from airflow.api_fastapi.app import create_app

    passwords = folder / "passwords.json"
    passwords.write_text(json.dumps({"quagga": "zyzzyva"}))
    patch.setenv("AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_USERS", "quagga:admin")
    patch.setenv("AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_PASSWORDS_FILE", str(passwords))
    patch.setenv("AIRFLOW__API_AUTH__JWT_SECRET", uuid.uuid4().hex * 2)
    server = uvicorn.Server(uvicorn.Config(create_app("core"), log_config=None, timeout_graceful_shutdown=10))
    listening = socket.create_server(("127.0.0.1", 0))

    def end():
        server.should_exit = True

    return end, lambda: server.run([listening]), listening.getsockname()[1]


def _served_by_2(patch):
    from airflow.www.app import create_app
    from werkzeug.serving import make_server

    patch.setenv(
        "AIRFLOW__API__AUTH_BACKENDS", "airflow.providers.fab.auth_manager.api.auth.backend.basic_auth"
    )
    # It would log to the standard output, from this process.
    patch.setattr("airflow.www.app.configure_logging", lambda: None)
    # Tests sign in more often than people may.
    app = create_app(config={"RATELIMIT_ENABLED": False})
    with app.app_context():
        users = app.appbuilder.sm
        users.add_user("quagga", "Q", "A", "quagga@example.com", users.find_role("Admin"), password="zyzzyva")
    server = make_server("127.0.0.1", 0, app, threaded=True)
    return server.shutdown, server.serve_forever, server.server_port
