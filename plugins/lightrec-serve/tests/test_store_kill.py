"""What a killed process has acknowledged is there, once; the rest is whole or absent.

A process imports the store once and forks a child for each load. Children write one line for each
call that returned, so the test knows what was acknowledged, and kills them in the middle.
"""

import os
import random
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
import sqlalchemy as sa
from lightrec_serve.store import Feedback, Store
from lightrec_serve.tables import ANSWERS, FEEDBACK, SHOWN

THREADS, TIME = 8, 1_795_000_000_000

CHILD = f"""
import os, sys, threading
from lightrec_serve.store import Answer, Feedback, Store

def load(url, name, calls, once):
    store = Store(url)
    def client(thread):
        for call in range(calls):
            answer = f"{{name}} {{thread}} {{call}}"
            shown = (f"item {{call}}", f"item {{call + 1}}")
            store.answered(
                Answer(answer, "s", "u", "arm", {TIME}, shown, (0.5, 0.25), -2.0, "policy")
            )
            key = str(call) if once else answer
            events = [
                Feedback(f"{{key}} {{n}}", "s", answer, "u", item, "accepted", None, {TIME})
                for n, item in enumerate(shown)
            ]
            fresh = "".join("01"[new] for new in store.feedback(events))
            os.write(1, f"{{fresh}} {{key}}\\n".encode())  # whole: shorter than a pipe holds
    threads = [threading.Thread(target=client, args=(n,)) for n in range({THREADS})]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    store.close()

children = {{}}
for line in sys.stdin:
    url, name, calls, once = line.rstrip("\\n").split("\\t")
    if url == "wait":
        os.waitpid(children.pop(name), 0)
        os.write(1, b"gone\\n")
        continue
    pid = os.fork()
    if pid == 0:
        try:
            load(url, name, int(calls), once == "once")
            os._exit(0)
        finally:
            os._exit(1)
    children[name] = pid
    os.write(1, f"pid {{pid}}\\n".encode())
"""


class Parent:
    """The process that forks children; ``lines`` of all of them come in one stream."""

    def __init__(self, process: "subprocess.Popen[str]") -> None:
        self.process = process

    def _tell(self, *words: object) -> None:
        self.process.stdin.write("\t".join(map(str, words)) + "\n")
        self.process.stdin.flush()

    def line(self) -> str:
        line = self.process.stdout.readline().rstrip("\n")
        assert line, "The process that forks children has ended."
        return line

    def begin(self, url: str, name: str, calls: int, once: bool = False) -> tuple[int, list[str]]:
        """Start a child; give its process and the lines of others that came before it."""
        self._tell(url, name, calls, "once" if once else "all")
        before = []
        while not (line := self.line()).startswith("pid "):
            before.append(line)
        return int(line.split()[1]), before

    def end(self, name: str) -> list[str]:
        """Wait until a child is gone; give all lines that came until then."""
        self._tell("wait", name, 0, "")
        lines = []
        while (line := self.line()) != "gone":
            lines.append(line)
        return lines


@contextmanager
def parent() -> Iterator[Parent]:
    process = subprocess.Popen(
        [sys.executable, "-c", CHILD], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    with process:
        yield Parent(process)
        process.stdin.close()


@pytest.fixture
def family() -> Iterator[Parent]:
    with parent() as found:
        yield found


def test_nothing_acknowledged_is_lost_or_counted_twice(url: str, family: Parent) -> None:
    chance, acknowledged = random.Random(0), list[str]()
    for kill in range(20):
        pid, lines = family.begin(url, f"kill {kill}", 1_000_000)
        for _ in range(chance.choice([0, 1, 10, chance.randrange(100)])):
            lines.append(family.line())
        os.kill(pid, signal.SIGKILL)
        lines += family.end(f"kill {kill}")
        assert all(line.startswith("11 ") for line in lines)
        acknowledged += [line[3:] for line in lines]
        with Store(url) as store:
            look(store, acknowledged)
            # Who has lost the answer sends the event again.
            again = [event(f"{key} {n}") for key in acknowledged[-20:] for n in range(2)]
            assert not any(store.feedback(again))
    assert len(acknowledged) > 100


def event(key: str) -> Feedback:
    return Feedback(key, "s", None, "u", "other", "accepted", None, TIME)


def look(store: Store, acknowledged: list[str]) -> None:
    """See that all is there once, and that calls and answers are there as a whole or not at all."""
    with store.engine.connect() as connection:
        found = connection.execute(sa.select(FEEDBACK.c.id, FEEDBACK.c.answer)).all()
        answers = connection.scalars(sa.select(ANSWERS.c.id)).all()
        query = sa.select(SHOWN.c.answer, sa.func.count()).group_by(SHOWN.c.answer)
        shown = dict(map(tuple, connection.execute(query)))
    ids = [id for id, _ in found]
    assert len(ids) == len({*ids})
    stored = {id[:-2] for id in ids}
    assert {*acknowledged} <= stored
    assert {*ids} == {f"{key} {n}" for key in stored for n in range(2)}
    # An answer is written before the feedback that names it, and with all that it showed.
    assert {answer for _, answer in found} <= {*answers}
    assert shown == dict.fromkeys(answers, 2)


def test_two_processes_that_send_the_same_count_it_once(url: str, family: Parent) -> None:
    calls = 40
    lines = []
    for name in ("one", "other"):
        lines += family.begin(url, name, calls, once=True)[1]
    lines += family.end("one") + family.end("other")
    assert len(lines) == 2 * THREADS * calls
    new = [line[3:] for line in lines if line.startswith("11 ")]
    assert sorted(new, key=int) == [str(call) for call in range(calls)]
    assert all(line[:3] in ("11 ", "00 ") for line in lines)
    with Store(url) as store:
        assert len(store.events("s")) == 2 * calls
        found = store.numbers()[0]
    assert (found.answers, found.shown) == (2 * THREADS * calls, 4 * THREADS * calls)
