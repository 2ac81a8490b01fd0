"""Whatever happens to a file of a run, commands end with an answer or a sentence."""

import errno
import json
import os
import random
import shutil
import subprocess
import sys
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from lightrec.__main__ import main
from lightrec.recommend import Recommender

MUTATIONS = int(os.environ.get("LIGHTREC_MUTATIONS", "200"))
PER_TEST = 40
"""Number of mutations of one test; each is drawn by its number."""
VALUES = (None, True, -1, 0, 1e300, 10**30, float("nan"), "", "x", "../..", [], {}, ["x"], {"x": 1})
LISTS = "recommend {} --user u3", "similar {} i3 -k 3", "explain {} --user u3"
SIMULATED = "simulate {} --policy greedy --sessions 4 --model"
READS = {
    "data": [*LISTS, "runs list {}", "explain {} --user u3 --by policy"],
    "ranker": [*LISTS, "evaluate {}", "recommend {} --history --profile age=3"],
    "evaluate": ["evaluate {}", "recommend {} --user u3", "runs list {}"],
    "policy": ["recommend {} --user u3 --by policy", "explain {} --user u3 --by policy"],
    "users_a": ["recommend {} --user u3 --by even-mixture", f"{SIMULATED} users_a"],
    "users_b": [f"{SIMULATED} users_b"],
}
"""Commands that read a stage of a run; others look at its note alone."""


def leaves(value):
    """Yield every mapping and list in a JSON value with each of its keys."""
    inner = value.items() if isinstance(value, dict) else enumerate(value)
    for key, each in inner:
        yield value, key
        if isinstance(each, dict | list):
            yield from leaves(each)


def with_another_leaf(content, chance):
    """Replace something in a JSON file by something of another kind, or drop it."""
    whole = json.loads(content)
    if not (places := [*leaves(whole)]) or chance.random() < 0.1:
        return json.dumps(chance.choice([*VALUES, 3, "word"])).encode()
    holder, key = chance.choice(places)
    if chance.random() < 0.2:
        del holder[key]
    else:
        holder[key] = chance.choice(VALUES)
    text = json.dumps(whole)
    if chance.random() < 0.02:
        text = text.replace("{", '{"deep": ' + "[" * 5000 + "]" * 5000 + ",", 1)
    return text.encode()


def mutated(content, chance, others):
    """Make other bytes of a file's, None for no file at all."""
    kind = chance.choice(["flip", "flip", "flip", "cut", "empty", "none", "swap", "noise"])
    if content[:1] in (b"{", b"[") and chance.random() < 0.7:
        return with_another_leaf(content, chance)
    if kind == "swap":
        return chance.choice(others).read_bytes()
    if kind == "noise":
        return chance.randbytes(chance.randrange(1, 2000))
    if kind in ("empty", "none") or not content:
        return None if kind == "none" else b""
    if kind == "cut":
        return content[: chance.randrange(len(content))]
    changed = bytearray(content)
    # The begin of a file says what it holds, and its end often, too.
    end = chance.choice([min(len(content), 200), len(content)])
    for _ in range(chance.choice([1, 1, 4, 40])):
        changed[chance.randrange(end) * chance.choice([1, 1, -1])] = chance.randrange(256)
    return bytes(changed)


@pytest.fixture(scope="module")
def run(tiny_run, tmp_path_factory) -> Path:
    return Path(shutil.copytree(tiny_run, tmp_path_factory.mktemp("damage") / "run"))


@contextmanager
def replaced(path, instead):
    """Give a file other bytes, or None for no file at all, for the length of a block."""
    content = path.read_bytes()
    path.unlink()
    if instead is not None:
        path.write_bytes(instead)
    try:
        yield
    finally:
        path.unlink(missing_ok=True)
        path.write_bytes(content)


def test_the_damaged_file_is_named_and_the_advice_makes_it_whole(run, capsys):
    path = run / "data" / "items.npy"
    for instead in (path.read_bytes()[:99], None):
        with replaced(path, instead):
            assert main(["recommend", str(run), "--user", "u3"]) == 2
        error = capsys.readouterr().err
        assert f"{path} is {'damaged' if instead else 'missing'}" in error
        assert f"remove {run / 'data'} and make the stage again with `lightrec run gen" in error
    assert main(["recommend", str(run), "--user", "u3"]) == 0


@pytest.mark.parametrize(
    ("error", "sentence"),
    [
        (OSError(errno.ENOSPC, "No space left on device", "a/b"), "at a/b: the disk is full"),
        (RuntimeError("I/O error: No space left on device (os error 28)"), "the disk is full"),
        (PermissionError(errno.EACCES, "Permission denied", "a/b"), "this at a/b: Permission den"),
        (RecursionError(), "nested too deeply"),
        (MemoryError("Unable to allocate 99 GiB"), "does not suffice (Unable to allocate 99 GiB)"),
        (RuntimeError("DefaultCPUAllocator: can't allocate memory"), "memory does not suffice"),
    ],
)
def test_what_the_machine_refuses_is_told(tiny_run, error, sentence, monkeypatch, capsys):
    def fail(*_, **__):
        raise error

    monkeypatch.setattr(Recommender, "similar", fail)
    assert main(["similar", str(tiny_run), "i3"]) == 2
    assert sentence in capsys.readouterr().err


def test_a_full_disk_behind_the_output_is_told():
    code = "import sys; from lightrec.__main__ import main; sys.exit(main(sys.argv[1:]))"
    words = [sys.executable, "-c", code, "recipes", "list"]
    with open("/dev/full", "w") as full:
        done = subprocess.run(words, stdout=full, stderr=subprocess.PIPE, text=True)
    assert done.returncode == 2
    assert done.stderr.startswith("lightrec: Nothing more can be written: the disk is full.")
    assert len(done.stderr.splitlines()) == 1


@pytest.mark.slow
@pytest.mark.parametrize("begin", range(0, MUTATIONS, PER_TEST))
def test_no_mutation_of_a_file_ends_in_a_traceback(run, begin, capfd):
    unread = (".ckpt", ".html", ".png", ".md")
    files = sorted(path for path in run.glob("*/*") if path.is_file())
    files = [path for path in files if path.suffix not in unread and path.parent.name != "logs"]
    for number in range(begin, begin + PER_TEST):
        chance = random.Random(number)
        path = chance.choice(files)
        with replaced(path, mutated(path.read_bytes(), chance, files)):
            for command in READS.get(path.parent.name, LISTS):
                with suppress(SystemExit):
                    assert main(command.format(run).split()) in (0, 2), (number, path, command)
                assert "panicked" not in capfd.readouterr().err, (number, path, command)
