"""End tests that stand still, and show where they stand.

`faulthandler_timeout` ends a test that stands still. It no longer watches once the test has failed, and it never sees
what happens between tests, nor a process that is stopped.
"""

from __future__ import annotations

import contextlib
import faulthandler
import os
import signal
import sys
import threading
import time

import psutil

# More than `faulthandler_timeout`: a test that stands still alone costs its own process, not the run.
SECONDS = 700
_TO_MOVE = 60


def pytest_configure(config):
    """Watch in the process that hears of all tests."""
    if not hasattr(config, "workerinput"):
        config.pluginmanager.register(_Watch())


class _Watch:
    def __init__(self):
        self._running, self._moved = {}, threading.Event()
        threading.Thread(target=self._watch, daemon=True).start()

    def pytest_runtest_logstart(self, nodeid):
        self._running[nodeid] = time.monotonic()
        self._moved.set()

    def pytest_runtest_logfinish(self, nodeid):
        self._running.pop(nodeid, None)
        self._moved.set()

    def _watch(self):
        while True:
            if self._moves(SECONDS):
                continue
            self._end_tests()
            if not self._moves(_TO_MOVE):
                break
        # It isn't the tests, it is who hears of them. Interrupted, pytest says what has failed until now.
        faulthandler.dump_traceback(sys.__stderr__)
        os.kill(os.getpid(), signal.SIGINT)
        time.sleep(_TO_MOVE)
        os._exit(1)

    def _moves(self, seconds):
        self._moved.clear()
        return self._moved.wait(seconds)

    def _end_tests(self):
        processes = psutil.Process().children()
        said = [f"No test has begun or ended for {SECONDS} seconds."]
        said += [f"  {name} runs for {time.monotonic() - at:.0f} s" for name, at in self._running.items()]
        said += [f"  process {process.pid} of the tests: {process.status()}" for process in processes]
        print(*said, sep="\n", file=sys.__stderr__, flush=True)
        for process in processes:
            # pytest has each of its processes show its stacks before that signal ends it.
            with contextlib.suppress(psutil.NoSuchProcess):
                process.send_signal(signal.SIGABRT)
                process.resume()
