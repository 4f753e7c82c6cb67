"""The project as an Astro project: every DAG runs as it is, in the built image and in standalone mode.

The image is built from the project's Dockerfile by buildah, over a stand-in for Astro's base image. Standalone
mode installs Airflow and requirements.txt, puts the project on PYTHONPATH, and never reads the Dockerfile.
"""

from __future__ import annotations

import csv
import gzip
import json
import os
import platform
import shutil
import signal
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest
import yaml

import airflow_mapping_kit
from stack.postgres import Postgres
from stack.processes import Processes

pytestmark = pytest.mark.system

ROOT = Path(__file__).resolve().parents[2]
STAND_IN = Path(__file__).with_name("astro")
BASE_IMAGE = "quay.io/astronomer/astro-runtime:12.7.1"
IMAGE_HOME = "/usr/local/airflow"
CERTIFICATES = Path("/etc/ssl/certs")
NETWORK = ("PIP_", "UV_", "SSL_", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "REQUESTS_CA_BUNDLE")
OUTCOME = (STAND_IN / "outcome.py").read_text()


def checked(command, *, timeout=1200, **options):
    """Run a command; return what it wrote, or fail with all of it."""
    command = [str(part) for part in command]
    with subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        **options,
    ) as process:
        try:
            out, err = process.communicate(timeout=timeout)
        except BaseException:
            # Whatever it has started goes with it: buildah and debootstrap work through children.
            os.killpg(process.pid, signal.SIGKILL)
            raise
    assert process.returncode == 0, (
        f"{command} ended with {process.returncode}:\n{out[-4000:]}\n{err[-4000:]}"
    )
    return out


class Environment:
    """Airflow with the project, one way or the other.

    :param run: runs a command in it and returns what the command wrote.
    :param project: where the project is in it.
    :param home: its ``AIRFLOW_HOME``.
    """

    def __init__(self, run, project, home):
        self.run = run
        self.project = project
        self.home = home

    def airflow_list(self, *command):
        """Return the rows of a listing of Airflow's command line. It logs to the same stream, before them."""
        lines = self.run("airflow", *command, "--output", "json").splitlines()
        for number, line in enumerate(lines):
            if line.startswith("["):
                try:
                    return json.loads("\n".join(lines[number:]))
                except ValueError:
                    continue
        assert "No data found" in lines, f"{command} gave no list:\n" + "\n".join(lines)
        return []

    def dag_run(self, dag_id, lake, conf=None):
        """Run a DAG; return its instances, and the rows of each partition in its lake."""
        self.run("airflow", "dags", "test", dag_id, "2024-01-01", "--conf", json.dumps(conf or {}))
        outcome = self.run(
            "python", "-c", OUTCOME, dag_id, f"{self.home}/airflow.db", f"{self.project}/include/lake/{lake}"
        )
        return json.loads(outcome.splitlines()[-1])


@pytest.fixture(scope="module")
def warehouse(tmp_path_factory):
    """Return the folder of the socket of a PostgreSQL that serves whoever runs the tasks."""
    with Processes() as processes:
        postgres = Postgres(processes, tmp_path_factory.mktemp("warehouse") / "postgres.log")
        folder = Path(postgres.sqlalchemy_url.rpartition("host=")[2].replace("%2F", "/"))
        folder.chmod(0o755)
        (folder / ".s.PGSQL.5432").chmod(0o777)
        yield folder


@pytest.fixture(scope="module")
def connections(warehouse):
    """Return the connections of airflow_settings.yaml as variables; the database is here and not in a container."""
    settings = yaml.safe_load((ROOT / "airflow_settings.yaml").read_text())
    found = {}
    for connection in settings["airflow"]["connections"]:
        fields = {name.removeprefix("conn_"): value for name, value in connection.items()}
        assert (fields["host"], fields["port"]) == ("postgres", 5432)
        fields["host"] = str(warehouse)
        name, kind = fields.pop("id"), fields.pop("type")
        found[f"AIRFLOW_CONN_{name.upper()}"] = json.dumps({"conn_type": kind, **fields})
    return found


@pytest.fixture(scope="module")
def standalone(tmp_path_factory, clone, connections):
    """Make an environment as the Astro CLI's standalone mode does."""
    folder = tmp_path_factory.mktemp("standalone")
    project, home, venv = folder / "project", folder / "home", folder / "venv"
    shutil.copytree(clone, project)
    home.mkdir()
    try:
        requirements = ["-c", project / "constraints" / "airflow-2.10.5.txt", "apache-airflow==2.10.5"]
        requirements += ["-r", project / "requirements.txt"]
        if uv := shutil.which("uv"):
            checked([uv, "venv", "--python", sys.executable, venv])
            checked([uv, "pip", "install", "--python", venv / "bin" / "python", *requirements])
        else:
            checked([sys.executable, "-m", "venv", venv])
            checked([venv / "bin" / "python", "-m", "pip", "install", *requirements])
        env = {name: value for name, value in os.environ.items() if name.upper().startswith(NETWORK)} | {
            "PATH": f"{venv / 'bin'}:{os.environ['PATH']}",
            "HOME": str(home),
            "PYTHONPATH": str(project),
            "AIRFLOW_HOME": str(home),
            "AIRFLOW__CORE__DAGS_FOLDER": str(project / "dags"),
            "AIRFLOW__CORE__PLUGINS_FOLDER": str(project / "plugins"),
            "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
            **connections,
        }
        environment = Environment(lambda *command: checked(command, env=env, cwd=home), project, home)
        environment.run("airflow", "db", "migrate")
        yield environment
    finally:
        shutil.rmtree(folder)


@pytest.fixture(scope="module")
def image(tmp_path_factory, clone, connections, warehouse):
    """Build the project's image; what is run runs in a container of it."""
    folder = tmp_path_factory.mktemp("image")
    buildah = [
        "buildah",
        "--root",
        folder / "storage",
        "--runroot",
        folder / "run",
        "--storage-driver",
        "vfs",
    ]
    try:
        mounts = volumes(pip_settings(folder / "pip"))
        inside = ["--isolation", "chroot", "--network", "host"]
        # ONBUILD is an instruction of Docker's image format only.
        build = [*buildah, "bud", *inside, *mounts, "--pull-never", "--format", "docker"]
        base = folder / "base"
        base.mkdir()
        debian(base / "rootfs.tar", folder / "rootfs")
        shutil.copy(clone / "constraints" / "airflow-2.10.5.txt", base / "constraints.txt")
        checked([*build, "--tag", BASE_IMAGE, "--file", STAND_IN / "Dockerfile.base", base])
        shutil.rmtree(base)
        checked([*build, "--tag", "project", clone])
        container = checked([*buildah, "from", "--pull-never", "project"]).strip()
        env = [part for name, value in connections.items() for part in ("--env", f"{name}={value}")]
        run = [*buildah, "run", *inside, *mounts, *volumes({warehouse: warehouse}), *env, container, "--"]
        environment = Environment(lambda *command: checked([*run, *command]), IMAGE_HOME, IMAGE_HOME)
        environment.run("airflow", "db", "migrate")
        yield environment
    finally:
        mounted = [
            line for line in Path("/proc/self/mountinfo").read_text().splitlines() if f" {folder}/" in line
        ]
        assert not mounted, f"not removed, something is mounted there: {mounted}"
        shutil.rmtree(folder)


def volumes(mounts):
    return [part for here, there in mounts.items() for part in ("--volume", f"{here}:{there}:ro")]


def debian(archive, folder):
    """Put the bare system of this machine's Debian, with Python, into an archive, by way of a folder."""
    codename = platform.freedesktop_os_release()["VERSION_CODENAME"]
    listing = [
        "apt-get",
        "indextargets",
        "--format",
        "$(SITE) $(CODENAME) $(COMPONENT)",
        "Identifier: Packages",
    ]
    mirrors = checked(listing)
    sites = [line.split()[0] for line in mirrors.splitlines() if line.split()[1:] == [codename, "main"]]
    assert sites, f"apt knows no mirror of {codename} main; it may need `apt-get update`"
    # All of it is thrown away: nothing has to survive a crash of the machine.
    settings = folder / "etc" / "dpkg" / "dpkg.cfg.d"
    settings.mkdir(parents=True)
    (settings / "unsafe-io").write_text("force-unsafe-io\n")
    debootstrap = ["debootstrap", "--variant=minbase", "--include=python3-venv", codename, folder, sites[0]]
    checked(debootstrap)
    unneeded = ["./dev/*", "./usr/share/doc", "./usr/share/locale", "./var/cache/apt", "./var/lib/apt/lists"]
    checked(["tar", "-C", folder, *(f"--exclude={name}" for name in unneeded), "-cf", archive, "."])
    shutil.rmtree(folder)


def pip_settings(folder):
    """Return what to mount, as {here: there}, so that pip finds its packages in a container as on this machine."""
    checked([sys.executable, "-m", "venv", folder])  # an environment made by uv has no pip to ask
    settings = {"cert": str(CERTIFICATES / "ca-certificates.crt")}
    lines = checked([folder / "bin" / "python", "-m", "pip", "config", "list"]).splitlines()
    # In pip's own order: what the environment says wins over files.
    for line in sorted(lines, key=lambda line: line.startswith(":env:")):
        name, _, value = line.partition("=")
        settings[name.rpartition(".")[2]] = value.strip("'\"")
    # As a file: what a setting says, a password perhaps, is neither in the image nor in a failing test's output.
    file = folder / "pip.conf"
    file.write_text("[global]\n" + "".join(f"{name} = {value}\n" for name, value in settings.items()))
    mounts = {file: "/etc/pip.conf", CERTIFICATES: CERTIFICATES}
    for word in " ".join(settings.values()).split():
        # The pages of an index in a folder point to files beside that folder.
        index = word.startswith("file://")
        place = Path(word.removeprefix("file://")).parent if index else Path(word)
        if place.is_absolute() and place.exists() and CERTIFICATES not in place.parents:
            mounts[place] = place
    return mounts


@pytest.fixture(scope="module", params=["standalone", "image"])
def astro(request):
    return request.getfixturevalue(request.param)


def test_airflow_lists_the_kit_once_as_a_provider(astro):
    kits = [
        row for row in astro.airflow_list("providers", "list") if row["package_name"] == "airflow-mapping-kit"
    ]
    assert [row["version"] for row in kits] == [airflow_mapping_kit.__version__]


def test_airflow_loads_the_plugin_once(astro):
    assert [row["name"] for row in astro.airflow_list("plugins")] == ["mapping_kit"]


def test_airflow_knows_the_options_of_the_kit(astro):
    assert "scratch_folder" in astro.run("airflow", "config", "list", "--section", "mapping_kit")


def test_every_dag_file_loads(astro):
    assert astro.airflow_list("dags", "list-import-errors") == []
    assert {Path(row["fileloc"]).name for row in astro.airflow_list("dags", "list")} == {
        file.name for file in (ROOT / "dags").glob("*.py")
    }


def source_flights():
    with gzip.open(ROOT / "include" / "data" / "flights-2013-01.csv.gz", "rt") as file:
        return list(csv.DictReader(file))


def test_flights_reload_runs_as_it_is(astro):
    source = Counter(
        f"date=2013-01-01/origin={flight['origin']}" for flight in source_flights() if flight["day"] == "1"
    )
    outcome = astro.dag_run(
        "flights_reload", "flights", {"mode": "custom", "start_date": "2013-01-01", "end_date": "2013-01-01"}
    )
    assert [tuple(row[1:]) for row in outcome["instances"] if row[0] == "load"] == [
        (0, "success", "EWR 2013-01-01"),
        (1, "success", "JFK 2013-01-01"),
        (2, "success", "LGA 2013-01-01"),
    ]
    assert outcome["rows"] == source


def test_gapminder_countries_runs_as_it_is(astro):
    outcome = astro.dag_run("gapminder_countries", "gapminder")
    pairs = [(country, year) for country in ("Australia", "New Zealand") for year in range(1952, 2008, 5)]
    assert [tuple(row[1:]) for row in outcome["instances"] if row[0] == "load"] == [
        (index, "success", f"{country} {year}") for index, (country, year) in enumerate(pairs)
    ]
    assert outcome["rows"] == {f"country={country}/year={year}": 1 for country, year in pairs}


def test_delays_virtualenv_runs_as_it_is(astro):
    flights = Counter((flight["origin"], flight["carrier"]) for flight in source_flights())
    outcome = astro.dag_run("delays_virtualenv", "none")
    pairs = [(origin, carrier) for origin in ("EWR", "JFK", "LGA") for carrier in ("B6", "DL", "UA")]
    assert [tuple(row[1:]) for row in outcome["instances"] if row[0] == "mean_delay"] == [
        (index, "success", f"{origin} {carrier}") for index, (origin, carrier) in enumerate(pairs)
    ]
    assert [value["flights"] for task, value in outcome["values"] if task == "mean_delay"] == [
        flights[pair] for pair in pairs
    ]


def test_transform_reduce_runs_as_it_is_and_the_listener_is_found(astro):
    outcome = astro.dag_run("transform_reduce", "none")
    articles = ["apple", "unicorn", "bread", "leaflet", "cheese", "dates"]
    # The unicorn fails, and is labelled all the same: that is the policy's and the listener's doing.
    assert [row[3] for row in outcome["instances"] if row[0] == "article.price"] == articles
    assert [row[3] for row in outcome["instances"] if row[0] == "article.add_tax"] == articles
    (report,) = [value for task, value in outcome["values"] if task == "collect_article"]
    assert [row["error"] for row in report["results"] if row["state"] == "failed"] == [
        {"type": "KeyError", "message": "'unicorn'"}
    ]


def test_an_image_has_the_kit_from_the_project_and_nothing_of_its_development(image):
    script = (
        "from importlib.metadata import distribution as d; print(d('airflow-mapping-kit').locate_file(''))"
    )
    assert image.run("python", "-c", script).strip().endswith("/site-packages")
    assert {"dev", "tests", "benchmarks", "airflow_mapping_kit.egg-info", ".git"}.isdisjoint(
        image.run("ls", "-A", IMAGE_HOME).split()
    )
    assert image.run("id", "--user", "--name").strip() == "astro"
