"""Processes of their own, from one that has imported torch and Lightning already."""

import contextlib
import io
import multiprocessing
import os
import socket
import subprocess
import sys
import traceback
from collections.abc import Callable
from concurrent.futures import Future, ProcessPoolExecutor
from typing import Any

SERVER = multiprocessing.get_context("forkserver")
# All tests share one server, which starts with the first process that is asked for.
SERVER.set_forkserver_preload(["lightrec.stages.train", "lightrec.stages.evaluate"])


def apart(function: Callable[..., Any], *each: tuple[Any, ...]) -> list[Any]:
    """Call a function with each of the arguments, all at once, each in a new process.

    :returns: what the calls gave; an exception of theirs is raised here.
    """
    with ProcessPoolExecutor(len(each), SERVER) as pool:
        calls: list[Future[Any]] = [pool.submit(function, *arguments) for arguments in each]
        return [call.result(timeout=300) for call in calls]


def free_port() -> int:
    """A port that nobody listens on, for processes that meet there."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


def alone(code: str) -> str:
    """What code prints in an interpreter of its own, which ends without an error."""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


def light(code: str) -> list[str]:
    """The lines that code prints in an interpreter of its own, in which it imports little."""
    heavy = {"lightning", "torchrl", "tensordict", "transformers", "torchmetrics"}
    shown = f"import sys; print(sorted({heavy} & set(sys.modules)))"
    *lines, found = alone(f"{code}{shown}").splitlines()
    assert found == "[]"
    return lines


def run_python(code: str, *arguments: str) -> tuple[str, str]:
    """Do what :func:`lightrec_testing.contract.run_python` does, at no cost of imports.

    The server was started as any interpreter, so that strings have other hashes there too.
    """
    return apart(_exec, (code, arguments, sys.path, os.getcwd()))[0]


def _exec(code: str, arguments: tuple[str, ...], path: list[str], folder: str) -> tuple[str, str]:
    sys.argv, sys.path[:] = ["-c", *arguments], path
    os.chdir(folder)
    printed, error = io.StringIO(), ""
    with contextlib.redirect_stdout(printed):
        try:
            exec(code, {"__name__": "__main__"})
        except BaseException as raised:
            error = traceback.format_exception_only(raised)[-1].strip()
    return printed.getvalue(), error


def run_pytest(arguments: list[str], path: list[str], folder: str) -> tuple[int, str]:
    """Run pytest, in a process of its own; gives its status and what it printed."""
    import pytest

    sys.path[:] = path
    os.chdir(folder)
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed), contextlib.redirect_stderr(printed):
        status = pytest.main(arguments)
    return int(status), printed.getvalue()
