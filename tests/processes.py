"""Processes of their own, from one that has imported torch and Lightning already."""

import multiprocessing
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
