"""A Ceph RADOS Gateway on the loopback: S3 as a real server speaks it, objects in memory or, many of them, on the disk.

Needs root and Debian's `radosgw ceph-mon ceph-osd ceph-mgr ceph-common`.
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
import urllib.error
import urllib.request
import uuid
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

LOOPBACK = "127.0.0.1"
# Unlikely words: Airflow's log masker replaces a connection's secret wherever it appears.
ACCESS_KEY = "mapkitgatewaykey"
SECRET_KEY = "wb3-gateway-only-kt8"  # noqa: S105 - any pair opens a server on the loopback that forgets everything
# Another account, which may do nothing until somebody lets it.
READER = "reader"
READER_ACCESS_KEY = "mapkitreaderkey"
READER_SECRET_KEY = "hn5-reader-only-pw2"  # noqa: S105 - as above
_PR_SET_PDEATHSIG = 1
_NEEDED = ("ceph", "ceph-mon", "ceph-osd", "ceph-mgr", "monmaptool", "radosgw", "radosgw-admin")

_CONF = """\
[global]
fsid = {fsid}
mon initial members = a
mon host = v1:{loopback}:{mon_port}
public addr = {loopback}
auth cluster required = none
auth service required = none
auth client required = none
auth allow insecure global id reclaim = true
osd pool default size = 1
osd pool default min size = 1
mon allow pool size one = true
osd pool default pg num = 4
osd pool default pg autoscale mode = off
osd crush chooseleaf type = 0
ms bind msgr2 = false
run dir = {folder}/run
admin socket = {folder}/run/$name.asok
log file = {folder}/log/$name.log
pid file = {folder}/run/$name.pid
[mon.a]
mon data = {folder}/mon
[osd.0]
osd data = {folder}/osd
{store}
[client.rgw]
rgw frontends = beast endpoint={loopback}:{gateway_port}
rgw data = {folder}/rgw
rgw dynamic resharding = false
rgw gc max objs = 7
"""
# Where objects are, by how much there may be of them.
_IN_MEMORY = "osd objectstore = memstore\nmemstore device bytes = 4294967296"
_ON_DISK = "osd objectstore = bluestore\nbluestore block size = {disk_bytes}"


class GatewayError(RuntimeError):
    """A part of the gateway could not be started; the message says which and what to do."""


@contextlib.contextmanager
def ceph_gateway(disk_bytes: int | None = None) -> Iterator[str]:
    """Run a one-node Ceph with an S3 gateway, and give the gateway's endpoint URL.

    :param disk_bytes: how large a file among temporary ones the objects may fill; without it they are in memory, 4 GiB
    :raises GatewayError: if a package is missing, or a part doesn't come up within two minutes.
    """
    missing = [program for program in _NEEDED if shutil.which(program) is None]
    if missing:
        raise GatewayError(
            f"{', '.join(missing)} not found: apt-get install --no-install-recommends "
            f"radosgw ceph-mon ceph-osd ceph-mgr ceph-common"
        )
    folder = Path(tempfile.mkdtemp(prefix="mapping-kit-ceph-"))
    with contextlib.ExitStack() as stack:
        stack.callback(shutil.rmtree, folder, ignore_errors=True)
        yield _start(folder, _ON_DISK.format(disk_bytes=disk_bytes) if disk_bytes else _IN_MEMORY, stack)


def _start(folder: Path, store: str, stack: contextlib.ExitStack) -> str:
    mon_port, gateway_port = free_port(), free_port()
    fsid, osd_uuid, conf = str(uuid.uuid4()), str(uuid.uuid4()), folder / "ceph.conf"
    for name in ("mon", "osd", "mgr", "rgw", "run", "log"):
        (folder / name).mkdir()
    conf.write_text(
        _CONF.format(
            fsid=fsid,
            folder=folder,
            loopback=LOOPBACK,
            mon_port=mon_port,
            gateway_port=gateway_port,
            store=store,
        )
    )
    config = ["-c", str(conf)]

    def ceph(*arguments: str) -> str:
        return _output(["ceph", *config, "--connect-timeout", "5", *arguments])

    def daemon(name: str, command: list[str], what: str, ready: Callable[[], bool]) -> None:
        _run_until_ready(what, command, ready, folder / "log" / f"{name}.out", stack)

    _output([
        "monmaptool", "--create", "--fsid", fsid, "--addv", "a", f"[v1:{LOOPBACK}:{mon_port}]",
        str(folder / "monmap"),
    ])  # fmt: skip
    _output(["ceph-mon", *config, "--mkfs", "-i", "a", "--monmap", str(folder / "monmap")])
    daemon(
        "mon",
        ["ceph-mon", *config, "-i", "a", "-f"],
        "the monitor's quorum",
        lambda: bool(ceph("mon", "stat")),
    )
    ceph("osd", "new", osd_uuid, "0")
    _output(["ceph-osd", *config, "-i", "0", "--mkfs", "--osd-uuid", osd_uuid])
    daemon(
        "osd",
        ["ceph-osd", *config, "-i", "0", "-f"],
        "the OSD",
        lambda: json.loads(ceph("osd", "stat", "-f", "json"))["num_up_osds"] == 1,
    )
    daemon(
        "mgr",
        ["ceph-mgr", *config, "-i", "x", "--mgr-data", str(folder / "mgr"), "-f"],
        "the manager",
        lambda: json.loads(ceph("mgr", "stat", "-f", "json"))["available"],
    )
    endpoint = f"http://{LOOPBACK}:{gateway_port}"
    daemon("rgw", ["radosgw", *config, "-n", "client.rgw", "-f"], "the gateway", lambda: answers(endpoint))
    for name, key, secret in (
        ("lab", ACCESS_KEY, SECRET_KEY),
        (READER, READER_ACCESS_KEY, READER_SECRET_KEY),
    ):
        _output([
            "radosgw-admin", *config, "user", "create", "--uid", name, "--display-name", name,
            "--access-key", key, "--secret-key", secret,
        ])  # fmt: skip
    return endpoint


def _run_until_ready(
    what: str, command: list[str], ready: Callable[[], bool], log: Path, stack: contextlib.ExitStack
) -> None:
    deadline = time.monotonic() + 120
    process = _started(command, log, stack)
    while True:
        with contextlib.suppress(GatewayError):
            if ready():
                return
        if time.monotonic() > deadline:
            ends = "\n".join(
                f"{path.name}: {line}"
                for path in sorted(log.parent.iterdir())
                for line in path.read_text(errors="replace").splitlines()[-5:]
            )
            raise GatewayError(f"{what} did not come up (exit status {process.poll()}):\n{ends}")
        if process.poll() is not None:
            # As systemd would: an OSD that speaks before it has the monitor's map is refused, and ends.
            process = _started(command, log, stack)
        time.sleep(0.1)


def _started(command: list[str], log: Path, stack: contextlib.ExitStack) -> subprocess.Popen[bytes]:
    libc = ctypes.CDLL(None)

    def prepare() -> None:
        # Ends with this process even where it is killed and no `finally` runs.
        libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        # Tests give what they fork five minutes, and an alarm outlives the change of the program.
        signal.alarm(0)

    with log.open("ab") as output:
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            preexec_fn=prepare,  # noqa: PLW1509 - two calls, no locks
        )

    def end() -> None:
        process.kill()  # everything is in memory: there is nothing to close in order
        process.wait()

    stack.callback(end)
    return process


def _output(command: list[str]) -> str:
    done = subprocess.run(
        command, capture_output=True, text=True, check=False, env={**os.environ, "CEPH_ARGS": ""}
    )
    if done.returncode:
        raise GatewayError(f"{' '.join(command)} failed: {done.stderr[-500:]}")
    return done.stdout or done.stderr


def answers(endpoint: str) -> bool:
    """Tell whether an HTTP server answers at a URL, whatever it says."""
    try:
        with urllib.request.urlopen(endpoint, timeout=5):  # noqa: S310 - an http URL made above
            return True
    except urllib.error.HTTPError:
        return True
    except OSError:
        return False


def free_port() -> int:
    """Return a loopback port that nobody listens on right now."""
    with socket.socket() as probe:
        probe.bind((LOOPBACK, 0))
        return int(probe.getsockname()[1])
