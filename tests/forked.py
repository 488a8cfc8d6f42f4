"""``sclip`` in forked processes: all is imported already, so that one starts at once and not after seconds.

For tests of what happens between processes; that ``sclip`` starts them as it should is for tests with real ones.
"""

import os
import signal
import sys
import time
import traceback
from contextlib import suppress
from subprocess import TimeoutExpired
from types import SimpleNamespace

from lightning.fabric.strategies.launchers import subprocess_script as fabric_script
from lightning.pytorch.strategies.launchers import subprocess_script

from sclip_lightning.cli import main as sclip
from tests import slow_sclip


class Forked:
    """A process that runs a function, with what ``subprocess.Popen`` has for those who wait for it or end it.

    Args:
        work: What to run; its exit code is that of a ``SystemExit``, 1 after another exception, else 0.
        env: The process's environment variables, all of them.
        cwd: Its working directory, by default that of this process.
        session: Whether it is the first of a session and a process group of its own.
        stderr: Whether ``stderr`` is what it writes there, to read; else it goes where that of this process goes.
    """

    def __init__(self, work, env, cwd=None, session=False, stderr=False):
        self.returncode = None
        self.stderr, writing = None, None
        if stderr:
            reading, writing = os.pipe()
            self.stderr = os.fdopen(reading, errors="replace")
        sys.stdout.flush()
        sys.stderr.flush()
        self.pid = os.fork()
        if self.pid == 0:
            self._become(work, env, cwd, session, writing)
        if writing is not None:
            os.close(writing)

    def _become(self, work, env, cwd, session, stderr):
        code = 1
        try:
            if session:
                os.setsid()
            if cwd is not None:
                os.chdir(cwd)
            if stderr is not None:
                os.dup2(stderr, 2)
                os.close(stderr)
                # What pytest has put there is shared with this process.
                sys.stderr = sys.__stderr__ = os.fdopen(2, "w", buffering=1, closefd=False)
            signal.signal(signal.SIGINT, signal.default_int_handler)
            for number in (signal.SIGTERM, signal.SIGUSR1, signal.SIGHUP):
                signal.signal(number, signal.SIG_DFL)
            os.environ.clear()
            os.environ.update(env)
            work()
            code = 0
        except SystemExit as ending:
            code = ending.code if isinstance(ending.code, int) else 1
        except BaseException:
            traceback.print_exc()
        finally:
            with suppress(Exception):
                sys.stdout.flush()
                sys.stderr.flush()
            os._exit(code)

    def poll(self):
        if self.returncode is None:
            try:
                pid, status = os.waitpid(self.pid, os.WNOHANG)
            except ChildProcessError:  # somebody else has waited for it
                pid, status = self.pid, 1 << 8
            if pid:
                self.returncode = os.waitstatus_to_exitcode(status)
        return self.returncode

    def wait(self, timeout=None):
        deadline = None if timeout is None else time.monotonic() + timeout
        while self.poll() is None:
            if deadline is not None and time.monotonic() > deadline:
                raise TimeoutExpired("a forked process", timeout)
            time.sleep(0.01)
        return self.returncode

    def communicate(self, timeout=None):
        """What it wrote to ``stderr`` before it ended: (None, text)."""
        self.wait(timeout)
        return None, self.stderr.read()

    def kill(self):
        self.send_signal(signal.SIGKILL)

    def send_signal(self, number):
        if self.poll() is None:
            os.kill(self.pid, number)


def start_sclip(*arguments, slow=True, cwd=None, **environment):
    """Start ``sclip`` in a session of its own, with variables beside those of this process.

    What it starts is forked, too. ``slow``: as ``python -m tests.slow_sclip``.
    """

    def work():
        if slow:
            slow_sclip.slow_down()
        for launcher in (subprocess_script, fabric_script):
            launcher.subprocess = SimpleNamespace(
                Popen=lambda command, *, env, **_: Forked(lambda: sclip(arguments), env)
            )
        sclip(arguments)

    env = {**os.environ, "OMP_NUM_THREADS": "1"} | environment
    return Forked(work, env, cwd=cwd, session=True, stderr=True)
