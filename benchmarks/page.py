"""Measure the page Partitions against the data of Airflow's own grid: `python benchmarks/page.py`.

A real web server on PostgreSQL with histories that `seeded` has written. Each answer of the page and the one that
Airflow's grid asks for the same runs take turns, so that a machine that slows down slows both. *Cold* is the first
answer of a web server that has just been started; the picture is what Chromium has drawn, from the click on a link.
"""

from __future__ import annotations

import argparse
import gzip
import json
import re
import shutil
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import httpx
import psutil

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "dev"))

from seeded import histories
from seeded.sliced import STORAGE
from stack.airflow import AIRFLOW_3, VERSION, Airflow
from stack.ports import LOOPBACK, free_port
from stack.postgres import Postgres
from stack.processes import Process, Processes

if TYPE_CHECKING:
    from collections.abc import Callable

    from playwright.sync_api import BrowserContext

PROJECT = Path(__file__).resolve().parents[1]
CHROMIUM = Path("/usr/bin/chromium")
ADMIN = "admin"
SHAPES: dict[str, tuple[str, Callable[[Postgres], None]]] = {
    "even_1095": ("1,095 × 25 runs", histories.even_1095),
    "even_10000": ("10,000 × 25 runs", histories.even_10000),
    "batched_100000": ("100,000 in batches, one run", histories.batched_100000),
    "sliced_100000": ("100,000 keys in batches by reference × 2 runs", histories.sliced_100000),
    "sliced_1000000": ("1,000,000 keys in batches by reference × 2 runs", histories.sliced_1000000),
}
ROOT = "/mapping-kit" if AIRFLOW_3 else "/mapping_kit"


class Measured(NamedTuple):
    """Milliseconds, queries and bytes of one shape."""

    cold: list[float]
    warm: list[float]
    grid: list[float]
    queries: int
    size: int
    packed: int
    mebibytes: float
    picture: list[tuple[float, float]]


class Site:
    """A web server that can be started anew, and a client that is signed in to it."""

    def __init__(self, processes: Processes, airflow: Airflow, password: str) -> None:
        self._airflow = airflow
        self._password = password
        self._server: Process | None = None
        self._processes = processes
        self.address = ""
        self.client = httpx.Client()

    def start(self) -> None:
        """Start a web server that has answered nothing yet."""
        if self._server:
            self._server.end()
        before = {process.pid for process in psutil.process_iter()}
        port = free_port()
        self._server = self._airflow.start_webserver(port)
        self.address = f"http://{LOOPBACK}:{port}"
        self.pids = [
            process.pid for process in psutil.process_iter() if process.pid not in before and serves(process)
        ]
        self.client = httpx.Client(base_url=self.address, timeout=120, follow_redirects=True)
        if AIRFLOW_3:
            signed = {"username": ADMIN, "password": self._password}
            token = self.client.post("/auth/token", json=signed).json()["access_token"]
            self.client.cookies.set("_token", token)
            return
        form = self.client.get("/login/").text
        token = re.search(r'name="csrf_token"[^>]*value="([^"]+)"', form)[1]
        signed = {"username": ADMIN, "password": self._password, "csrf_token": token}
        self.client.post("/login/", data=signed).raise_for_status()

    def page(self, dag_id: str) -> httpx.Response:
        """Ask for what the page draws."""
        return self.client.get(f"{ROOT}/api/dags/{dag_id}/partitions").raise_for_status()

    def grid(self, dag_id: str) -> None:
        """Ask for what Airflow's grid draws of the same runs."""
        if not AIRFLOW_3:
            self.client.get("/object/grid_data", params={"dag_id": dag_id, "num_runs": 25}).raise_for_status()
            return
        runs = self.client.get(f"/ui/grid/runs/{dag_id}", params={"limit": 25}).raise_for_status().json()
        named = [("run_ids", run["run_id"]) for run in runs]
        self.client.get(f"/ui/grid/ti_summaries/{dag_id}", params=named).raise_for_status()

    def rest(self) -> float:
        """Return the MiB that the web server has now, and forget the most that it ever had."""
        for pid in self.pids:
            Path(f"/proc/{pid}/clear_refs").write_text("5")
        return sum(memory(pid, "VmRSS") for pid in self.pids)

    def most(self) -> float:
        """Return the most MiB that it has had since."""
        return sum(memory(pid, "VmHWM") for pid in self.pids)


def serves(process: psutil.Process) -> bool:
    """Tell whether a process is one of the web server's."""
    try:
        named = " ".join([process.name(), *process.cmdline()])
    except psutil.Error:
        return False
    return "gunicorn" in named or "api-server" in named or "api_server" in named


def memory(pid: int, what: str) -> float:
    """Return a figure of a process in MiB."""
    return int(re.search(rf"{what}:\s*(\d+)", Path(f"/proc/{pid}/status").read_text())[1]) / 1024


def milliseconds(ask: Callable[[], Any]) -> float:
    """Return how long somebody waits for an answer."""
    began = time.perf_counter()
    ask()
    return 1000 * (time.perf_counter() - began)


def pictures(site: Site, dag_id: str, rounds: int) -> list[tuple[float, float]]:
    """Return how long a browser takes to draw the partitions that knows nothing yet, and how long the next time."""
    if not CHROMIUM.exists():
        return []
    from playwright.sync_api import sync_playwright

    found = []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=str(CHROMIUM), args=["--no-sandbox", "--disable-gpu"]
        )
        for _ in range(rounds):
            context = browser.new_context(viewport={"width": 1400, "height": 900})
            context.add_cookies(
                [
                    {"name": one.name, "value": one.value, "url": site.address}
                    for one in site.client.cookies.jar
                ]
            )
            found.append((drawn(context, site, dag_id), drawn(context, site, dag_id)))
            context.close()
        browser.close()
    return found


def drawn(context: BrowserContext, site: Site, dag_id: str) -> float:
    """Return how long it takes until a new tab has drawn the partitions, by the browser's own clock."""
    page = context.new_page()
    page.goto(f"{site.address}{ROOT}/dags/{dag_id}", wait_until="commit")
    page.locator("mapping-kit-partitions [role=gridcell]").first.wait_for()
    # Since the navigation began, until the frame with the cells is out.
    passed: float = page.evaluate(
        "() => new Promise(done => requestAnimationFrame(() => done(performance.now())))"
    )
    page.close()
    return passed


def measured(site: Site, dag_id: str, rounds: int) -> Measured:
    """Return what one shape costs."""
    cold = []
    for _ in range(max(1, rounds // 5)):
        site.start()
        # What any first request of a web server pays, whoever asks.
        site.client.get("/home" if not AIRFLOW_3 else "/ui/config").raise_for_status()
        resting = site.rest()
        cold.append(milliseconds(lambda: site.page(dag_id)))
    answer = site.page(dag_id)
    warm, grid = [], []
    for _ in range(rounds):
        site.page(dag_id)
    grown = site.most() - resting
    site.grid(dag_id)
    for _ in range(rounds):
        warm.append(milliseconds(lambda: site.page(dag_id)))
        grid.append(milliseconds(lambda: site.grid(dag_id)))
    body = answer.content
    return Measured(
        cold,
        warm,
        grid,
        json.loads(body)["queries"],
        len(body),
        len(gzip.compress(body, 5)),
        grown,
        pictures(site, dag_id, max(1, rounds // 3)),
    )


def main() -> None:
    """Print a Markdown table of the medians."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--shapes", nargs="+", choices=SHAPES, default=list(SHAPES))
    options = parser.parse_args()
    folder = Path(tempfile.mkdtemp())
    try:
        with Processes() as processes:
            postgres = Postgres(processes, folder / "postgres.log")
            dags = PROJECT / "dev" / "seeded" / "dags"
            airflow = Airflow(processes, postgres, home=folder / "airflow", dags_folder=dags)
            airflow.environment["AIRFLOW__MAPPING_KIT__STORAGE"] = STORAGE
            airflow.migrate()
            password = airflow.create_users({ADMIN: "Admin"})[ADMIN]
            scheduler = airflow.start_scheduler()
            for dag_id in options.shapes:
                airflow.wait_for_dag(dag_id)
            # Nothing but the web server is to be at work.
            scheduler.end()
            for dag_id in options.shapes:
                SHAPES[dag_id][1](postgres)
            postgres.query("ANALYZE")
            site = Site(processes, airflow, password)
            found = {dag_id: measured(site, dag_id, options.rounds) for dag_id in options.shapes}
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    print(f"Airflow {VERSION}, medians of {options.rounds} answers\n")
    print(
        "| | queries | cold, ms | warm, ms | Airflow's grid, ms | warm of the grid's | kB | kB packed "
        "| MiB more | first picture, ms | with the files kept, ms |\n"
        "|---|---|---|---|---|---|---|---|---|---|---|"
    )
    for dag_id, one in found.items():
        ratio = statistics.median(ours / theirs for ours, theirs in zip(one.warm, one.grid, strict=True))
        first, again = (
            (f"{statistics.median(each):,.0f}" for each in zip(*one.picture, strict=False))
            if one.picture
            else "––"
        )
        print(
            f"| {SHAPES[dag_id][0]} | {one.queries} | {statistics.median(one.cold):,.0f} "
            f"| {statistics.median(one.warm):,.0f} | {statistics.median(one.grid):,.0f} | {ratio:.2f} "
            f"| {one.size / 1000:,.0f} | {one.packed / 1000:,.1f} | {one.mebibytes:,.0f} | {first} | {again} |"
        )


if __name__ == "__main__":
    main()
