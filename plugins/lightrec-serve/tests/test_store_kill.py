"""What a killed process has acknowledged is there, once; the rest is whole or absent.

A process imports the store once and forks a child for each load. Children write one line for each
call that returned, so the test knows what was acknowledged, and kills them in the middle.
"""

import os
import random
import signal
import subprocess
import sys

import pytest
import sqlalchemy as sa
from lightrec_serve.store import Store
from lightrec_serve.tables import ANSWERS, FEEDBACK, SHOWN

from tests.asking import event

THREADS, TIME = 8, 1_795_000_000_000

CHILD = f"""
import itertools, os, sys, threading
from lightrec_serve.store import Answer, Feedback, Store

def load(url, name):
    store = Store(url)
    def client(thread):
        for call in itertools.count():
            answer = f"{{name}} {{thread}} {{call}}"
            shown = (f"item {{call}}", f"item {{call + 1}}")
            store.answered(
                Answer(answer, "s", "u", "arm", {TIME}, shown, (0.5, 0.25), -2.0, "policy")
            )
            events = [
                Feedback(f"{{answer}} {{n}}", "s", answer, "u", item, "accepted", None, {TIME})
                for n, item in enumerate(shown)
            ]
            fresh = "".join("01"[new] for new in store.feedback(events))
            os.write(1, f"{{fresh}} {{answer}}\\n".encode())  # whole: shorter than a pipe holds
    for thread in range({THREADS}):
        threading.Thread(target=client, args=(thread,)).start()
    threading.Event().wait()  # until this process is killed

for line in sys.stdin:
    if (pid := os.fork()) == 0:
        os.write(1, f"{{os.getpid()}}\\n".encode())
        load(*line.rstrip("\\n").split("\\t"))
    os.waitpid(pid, 0)
    os.write(1, b"gone\\n")
"""


@pytest.mark.slow
def test_nothing_acknowledged_is_lost_or_counted_twice(url):
    chance, acknowledged, pipe = random.Random(0), list[str](), subprocess.PIPE
    command = [sys.executable, "-c", CHILD]  # forks a child for each line, and waits for its end
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True) as parent:
        for kill in range(20):
            parent.stdin.write(f"{url}\tkill {kill}\n")
            parent.stdin.flush()
            child = int(parent.stdout.readline())
            wanted = chance.choice([0, 1, 10, chance.randrange(100)])
            lines = []
            while len(lines) < wanted and (line := parent.stdout.readline().rstrip("\n")) != "gone":
                lines.append(line)
            assert len(lines) == wanted, "The child has ended by itself."
            os.kill(child, signal.SIGKILL)
            lines += [line.rstrip("\n") for line in iter(parent.stdout.readline, "gone\n")]
            assert all(line.startswith("11 ") for line in lines)
            acknowledged += [line[3:] for line in lines]
            with Store(url) as store:
                look(store, acknowledged)
                # Who has lost the answer sends the event again.
                again = [event(f"{key} {n}") for key in acknowledged[-20:] for n in range(2)]
                assert not any(store.feedback(again))
    assert len(acknowledged) > 100


def look(store, acknowledged):
    """See that all is there once, and that calls and answers are there as a whole or not at all."""
    with store.engine.connect() as connection:
        events = connection.execute(sa.select(FEEDBACK.c.id, FEEDBACK.c.answer)).all()
        answers = connection.scalars(sa.select(ANSWERS.c.id)).all()
        query = sa.select(SHOWN.c.answer, sa.func.count()).group_by(SHOWN.c.answer)
        shown = dict(map(tuple, connection.execute(query)))
    ids = [id for id, _ in events]
    assert len(ids) == len({*ids})
    stored = {id[:-2] for id in ids}
    assert {*acknowledged} <= stored
    assert {*ids} == {f"{key} {n}" for key in stored for n in range(2)}
    # An answer is written before the feedback that names it, and with all that it showed.
    assert {answer for _, answer in events} <= {*answers}
    assert shown == dict.fromkeys(answers, 2)
