"""Airflow's own web server in this process, and people who ask it for something: with any rights, or nobody."""

from __future__ import annotations

import functools
import os
import re
from contextlib import contextmanager
from unittest import mock

import airflows
from airflow_mapping_kit.compat import AIRFLOW_3

ROOT = "/mapping-kit" if AIRFLOW_3 else "/mapping_kit"

# What Airflow's own roles don't say, as `(action, resource)`.
ROLES = {
    "flights_editor": [
        ("can_read", "DAG:flights"),
        ("can_edit", "DAG:flights"),
        ("can_read", "Task Instances"),
        ("can_edit", "Task Instances"),
        ("can_read", "DAG Runs"),
        ("can_create", "DAG Runs"),
        ("can_edit", "DAG Runs"),
        ("can_read", "XComs"),
    ],
    "flights_reader": [
        ("can_read", "DAG:flights"),
        ("can_read", "Task Instances"),
        ("can_read", "DAG Runs"),
    ],
    "clears": [
        ("can_read", "DAGs"),
        ("can_edit", "DAGs"),
        ("can_read", "Task Instances"),
        ("can_edit", "Task Instances"),
        ("can_read", "DAG Runs"),
        ("can_edit", "DAG Runs"),
    ],
    "nothing": [("can_read", "Website")],
}
PEOPLE = {
    "admin": "Admin",
    "op": "Op",
    "user": "User",
    "viewer": "Viewer",
    "editor": "flights_editor",
    "reader": "flights_reader",
    "clears": "clears",
    "powerless": "nothing",
}


class Asking2:
    """Somebody's browser before Airflow 2."""

    def __init__(self, app, name):
        self.browser = app.test_client()
        self.token = {}
        if name:
            self.browser.post(
                "/login/", data={"username": name, "password": name, "csrf_token": self._token()}
            )
            self.token = {"X-CSRFToken": self._token()}

    def _token(self):
        page = self.browser.get("/login/", follow_redirects=True).text
        found = re.search(r'name="csrf_token"[^>]*value="([^"]+)"', page) or re.search(
            r"csrfToken = \'([^\']+)\'", page
        )
        return found[1]

    def get(self, path, **options):
        return self.browser.get(path, **options)

    def post(self, path, json=None, headers=None, **options):
        headers = self.token if headers is None else headers
        return self.browser.post(path, json=json, headers=headers, **options)

    def request(self, method, path, **options):
        return self.browser.open(path, method=method, **options)


class Asking3:
    """Somebody's browser before Airflow 3."""

    token = {"X-Mapping-Kit": "1"}

    def __init__(self, app, jwt):
        from starlette.testclient import TestClient

        self.browser = TestClient(app, base_url="http://localhost", raise_server_exceptions=False)
        if jwt:
            self.browser.cookies.set("_token", jwt)

    def get(self, path, **options):
        return self.browser.get(path, follow_redirects=False, **options)

    def post(self, path, json=None, headers=None, **options):
        headers = self.token if headers is None else headers
        return self.browser.post(path, json=json, headers=headers, **options)

    def request(self, method, path, **options):
        return self.browser.request(method, path, **options)


class Site:
    """Airflow's web server.

    :param app: its application.
    :param asking: makes a browser of somebody, by name.
    """

    def __init__(self, app, asking, people):
        self.app, self._asking, self.people, self._there = app, asking, people, {}

    def of(self, name):
        """Return the browser of somebody, `None` for nobody."""
        if name not in self._there:
            self._there[name] = self._asking(name)
        return self._there[name]


def publish(dag):
    """Store a DAG as the web server reads it: with what a file's import notes of it, serialized."""
    from airflow_mapping_kit import policy

    for task in dag.tasks:
        policy.task_policy(task)
    airflows.store(dag)
    if not AIRFLOW_3:
        from airflow.models.serialized_dag import SerializedDagModel

        SerializedDagModel.write_dag(dag)


@contextmanager
def site(auth="fab"):
    """Give Airflow's web server.

    :param auth: `fab`, or on Airflow 3 `simple`, which knows four roles and no rights of single DAGs.
    """
    if not AIRFLOW_3:
        yield _site_2()
        return
    manager = {
        "fab": "airflow.providers.fab.auth_manager.fab_auth_manager.FabAuthManager",
        "simple": "airflow.api_fastapi.auth.managers.simple.simple_auth_manager.SimpleAuthManager",
    }[auth]
    env = {
        "AIRFLOW__CORE__AUTH_MANAGER": manager,
        "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_USERS": ",".join(
            f"{name}:{name}" for name in ("admin", "op", "user", "viewer")
        ),
        "AIRFLOW__API_AUTH__JWT_SECRET": "quagga-zyzzyva-quokka-dodo-0123456789-quagga-zyzzyva-quokka-dodo",
    }
    with mock.patch.dict(os.environ, env):
        yield _site_3(auth)


@functools.cache  # one for all tests of a process: people and their passwords take seconds
def _site_2():
    from airflow.www.app import create_app

    app = create_app(testing=True, config={"RATELIMIT_ENABLED": False, "SESSION_COOKIE_SECURE": False})
    with app.app_context():
        _people(app.appbuilder.sm)
    return Site(app, lambda name: Asking2(app, name), PEOPLE)


def _site_3(auth):
    from airflow.api_fastapi.app import create_app, get_auth_manager, purge_cached_app

    purge_cached_app()
    app = create_app(apps="core")
    # It has set up logs anew.
    airflows._log_by_the_standard_library()
    manager = get_auth_manager()
    if auth == "simple":
        users = {user.username: user for user in manager.get_users()}
        return Site(app, lambda name: Asking3(app, name and manager.generate_jwt(users[name])), users)
    with manager.flask_app.app_context():
        _people(manager.security_manager)

    def asking(name):
        with manager.flask_app.app_context():
            user = name and manager.security_manager.find_user(username=name)
            return Asking3(app, name and manager.generate_jwt(user))

    return Site(app, asking, PEOPLE)


def _people(manager):
    """Make the roles and the users."""
    manager.sync_roles()
    for role, rights in ROLES.items():
        made = manager.add_role(role)
        for right in rights:
            manager.add_permission_to_role(made, manager.create_permission(*right))
    for name, role in PEOPLE.items():
        if not manager.find_user(username=name):
            manager.add_user(name, name, name, f"{name}@localhost", manager.find_role(role), password=name)
