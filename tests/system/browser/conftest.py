"""The page in a real browser: Airflow with a scheduler, users of each kind, histories, and Debian's Chromium."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest
from playwright.sync_api import expect, sync_playwright

from seeded.histories import HISTORIES
from stack.airflow import AIRFLOW_3, Airflow
from stack.ports import LOOPBACK, free_port
from stack.postgres import Postgres
from stack.processes import Processes

if TYPE_CHECKING:
    from collections.abc import Iterator

    from playwright.sync_api import Browser, BrowserContext, Page

HERE = Path(__file__).parent
PROJECT = HERE.parents[2]
DATABASE = "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN"
CHROMIUM = "/usr/bin/chromium"
# Root's Chromium has no sandbox, a machine without a screen no graphics; and nothing is asked of its maker's servers.
FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
USERS = {"admin": "Admin", "op": "Op", "viewer": "Viewer"}
# A role that may see and run the DAG `flights` alone, which Airflow 3's own auth manager doesn't have.
TEAM = {} if AIRFLOW_3 else {"team": "flights"}


# A machine with other work to do is no reason to fail.
expect.set_options(timeout=30_000)
SENTENCE = "mapping-kit-partitions .sentence"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark what needs Debian's Chromium."""
    for item in items:
        if item.path.is_relative_to(HERE):
            item.add_marker(pytest.mark.system)


class Site(NamedTuple):
    """A running Airflow with histories: where it is, and who may sign in."""

    airflow: Airflow
    processes: Processes
    postgres: Postgres
    address: str
    passwords: dict[str, str]

    @property
    def root(self) -> str:
        """Where the kit's own pages are."""
        return f"{self.address}/{'mapping-kit' if AIRFLOW_3 else 'mapping_kit'}"

    def partitions(self, dag_id: str, query: str = "") -> str:
        """Return the address of the page of a DAG, by itself on Airflow 2, in Airflow's frame on 3."""
        place = (
            f"{self.address}/dags/{dag_id}/plugin/partitions" if AIRFLOW_3 else f"{self.root}/dags/{dag_id}"
        )
        return f"{place}{query}"


@pytest.fixture(scope="session")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """Start everything once for the session; it is ended with it."""
    folder = tmp_path_factory.mktemp("site")
    dags = folder / "dags"
    shutil.copytree(PROJECT / "dev" / "seeded" / "dags", dags)
    shutil.copytree(HERE / "dags", dags, dirs_exist_ok=True)
    with Processes() as processes:
        postgres = Postgres(processes, folder / "postgres.log")
        airflow = Airflow(processes, postgres, home=folder / "airflow", dags_folder=dags)
        airflow.migrate()
        passwords = airflow.create_users(
            USERS | {name: "Team" for name in TEAM}, **({"of_dags": {"Team": "flights"}} if TEAM else {})
        )
        port = free_port()
        # A role of its own, so that a test can take the database away from the web server alone.
        postgres.query("CREATE ROLE web LOGIN SUPERUSER")
        airflow.environment[DATABASE] = postgres.sqlalchemy_url.replace("//postgres@", "//web@")
        airflow.start_webserver(port)
        airflow.environment[DATABASE] = postgres.sqlalchemy_url
        airflow.start_scheduler()
        for dag_id in ("flights", "mended", "even_1095"):
            airflow.wait_for_dag(dag_id)
            HISTORIES[dag_id](postgres)
            airflow.unpause(dag_id)
        yield Site(airflow, processes, postgres, f"http://{LOOPBACK}:{port}", passwords)


@pytest.fixture(scope="session")
def chromium() -> Iterator[Browser]:
    """Start the browser once; each test has a profile of its own in it."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield browser
        browser.close()


class Visitor:
    """Somebody before a browser.

    ``page`` is the open tab; ``errors`` what its console and its scripts complained of, ``foreign`` the requests that
    went anywhere but to this Airflow: both have to stay empty.
    """

    def __init__(self, site: Site, context: BrowserContext) -> None:
        self.site = site
        self.context = context
        self.errors: list[str] = []
        self.foreign: list[str] = []
        context.on("request", self._requested)
        context.on("response", self._answered)
        self.page = self.tab()

    def tab(self) -> Page:
        """Open another tab."""
        page = self.context.new_page()
        page.set_default_timeout(30_000)
        page.on("console", lambda said: said.type == "error" and self._complained(page, said.text))
        page.on("pageerror", lambda error: self._complained(page, f"{error}\n{error.stack}"))
        return page

    def _requested(self, request: Any) -> None:
        if not request.url.startswith((self.site.address, "data:", "blob:", "about:", "chrome")):
            self.foreign.append(request.url)

    def _answered(self, response: Any) -> None:
        """Notice a file of the page that isn't there. What the API refuses is for the tests to look at."""
        if response.status >= 400 and response.url.startswith(f"{self.site.root}/static"):
            self.errors.append(f"{response.status} {response.url}")

    def _complained(self, page: Page, text: str) -> None:
        # The browser says so of every answer that is none.
        if text.startswith("Failed to load resource"):
            return
        # What Airflow's own scripts and pages complain of is theirs.
        if "/static/dist/" not in text and page.locator("mapping-kit-partitions").count():
            self.errors.append(f"{page.url}: {text}")

    def see(self, dag_id: str, query: str = "") -> Page:
        """Go to the partitions of a DAG and wait until they are drawn."""
        self.page.goto(self.site.partitions(dag_id, query))
        self.page.locator(SENTENCE).wait_for()
        return self.page


@pytest.fixture(scope="session")
def signed_in(site: Site, chromium: Browser) -> dict[str, Any]:
    """Return the cookies of each user: Airflow lets nobody sign in often."""
    cookies: dict[str, Any] = {}
    for name, password in site.passwords.items():
        if name == "stack":
            continue
        context = chromium.new_context()
        if AIRFLOW_3:
            answer = context.request.post(
                f"{site.address}/auth/token", data={"username": name, "password": password}
            )
            token = answer.json()["access_token"]
            context.add_cookies([{"name": "_token", "value": token, "url": site.address, "httpOnly": True}])
        else:
            page = context.new_page()
            page.goto(f"{site.address}/login/")
            page.fill("input[name=username]", name)
            page.fill("input[name=password]", password)
            page.click("input[type=submit]")
            page.wait_for_url(lambda url: "/login" not in url)
        cookies[name] = context.storage_state()
        context.close()
    return cookies


@pytest.fixture
def visit(site: Site, chromium: Browser, signed_in: dict[str, Any]) -> Iterator[Any]:
    """Return a function that opens a browser as a user, `None` for nobody; look for complaints when the test ends."""
    visitors: list[Visitor] = []

    def enter(
        user: str | None = "admin", *, width: int = 1400, height: int = 900, dark: bool = False
    ) -> Visitor:
        context = chromium.new_context(
            viewport={"width": width, "height": height}, storage_state=signed_in[user] if user else None
        )
        theme = "dark" if dark else "light"
        context.add_init_script(
            f"localStorage.setItem('theme', '{theme}'); localStorage.setItem('darkTheme', '{str(dark).lower()}')"
        )
        visitors.append(Visitor(site, context))
        return visitors[-1]

    yield enter
    for visitor in visitors:
        visitor.context.close()
    assert [error for visitor in visitors for error in visitor.errors] == []
    assert [url for visitor in visitors for url in visitor.foreign] == []
