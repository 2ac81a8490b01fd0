"""A run folder from anybody: whatever its files say, no command reaches out of it.

Texts and names in the JSON and text files of a finished, updated run are replaced by hostile
values, and every command that takes a run folder is called: with values in places that are drawn,
and with all names of classes and functions of a file at once. Nothing may be imported or called
that lightrec's and plugins' own classes are not, and nothing outside be written or deleted.
``LIGHTREC_WALK_ROUNDS=200`` draws more.
"""

import json
import os
import random
import shlex
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import lightning.pytorch as pl
import pytest
from lightrec_testing.tiny import FAST, tiny_text_model, write_log

from lightrec.__main__ import commands, main
from lightrec.errors import RunError
from lightrec.run import Run

SETTINGS = shlex.join(
    f"--{stage}.{word[2:]}" if word.startswith("--") else word
    for stage, words in FAST.items()
    for word in words
)
RANKER = shlex.join(FAST["ranker"])
LINES = {
    "run": f"generic --out {{run}} --log {{log}} --items {{items}} {SETTINGS}",
    "update": "{run} --log {day}",
    "runs list": "{run}",
    "runs promote": "{run} 2",
    "runs rollback": "{run}",
    "recommend": "{run} --user u3 -k 3",
    "similar": "{run} 'lamp number 0' -k 3",
    "explain": "{run} --user u3 --by policy",
    "rules": "{run}",
    "encode": "{run} --out {scratch}/vectors.parquet",
    "evaluate": "{run}",
    "compare": "{run} {whole}",
    "estimate": "{run} {shown}",
    "fit": f"-c generic/ranker --out {{run}}/ranker {RANKER}",
    "validate": f"-c generic/ranker --out {{run}}/ranker {RANKER}",
    "test": f"-c generic/ranker --out {{run}}/ranker {RANKER}",
    "tune": f"-c generic/ranker --run {{run}} --trials 1 {RANKER}",
    "simulate": "{run} --policy policy --sessions 2",
    "judge": "{run} --policy random --over random --sessions 2",
    "probe": "{run} --policy policy --sessions 2",
    "serve": "{run} --store sqlite:///{scratch}/served.db",
    "export": "{run} {scratch}/export",
}
ELSEWHERE = ("data ", "plugins ", "recipes ", "doctor", "forget", "person", "served", "batch")
"""What the names of commands begin with that take no run folder."""
WRITING = ("run", "update", "runs promote", "fit")
ROUNDS = int(os.environ.get("LIGHTREC_WALK_ROUNDS", "4"))
"""Hostile values, and imports, for each command, each in a file that is drawn."""
HOSTILE = (
    "../../outside/kept",
    "{outside}",
    "canary_on_the_path.Attack",
    "canary_on_the_path:Attack",
    "os:system",
    "antigravity",
    "!!python/object/apply:canary_on_the_path.attack []",
    "--config={outside}/recipe.yaml",
)
CANARY = """
import pathlib
marker = pathlib.Path({marker!r})
marker.touch()
def attack(*_, **__): marker.touch()
class Attack: pass
"""
IMPORTED = ("class_path", "class", "function", "text_encoder")
"""Under what keys a file names what is imported."""
NAMES = ("inputs", "elsewhere", "overrides", "item_models", "sources", "settings", "init_args")
"""What a file has by names that may be paths or classes."""


class Trap:
    """A run, what lies around it, and what would show that it was left."""

    def __init__(self, folder: Path, run: Path) -> None:
        self.whole, self.folder = run, folder
        self.run, self.outside = folder / "runs" / "mine", folder / "outside"
        self.marker = folder / "it-ran"
        (folder / "path").mkdir()
        (folder / "path" / "canary_on_the_path.py").write_text(
            CANARY.format(marker=str(self.marker))
        )
        (folder / "model").mkdir()
        names = ("day", "shown", "scratch", "whole", "run")
        paths = (folder / "day.csv", folder / "shown.csv", folder / "scratch", run, self.run)
        self.words = dict(zip(names, paths, strict=True))
        self.words["day"].write_text("customer,sku,date\nu1,i1,2024-02-01T12:00:00\n")
        self.words["shown"].write_text("user,item,propensity,value\nu1,i1,0.5,1\nu2,i2,0.5,0\n")
        self.words["log"], self.words["items"] = write_log(folder)
        self.words["model"] = tiny_text_model(folder / "model")
        self.reset()

    def reset(self) -> None:
        for place in (self.run, self.outside, self.folder / "scratch"):
            shutil.rmtree(place, ignore_errors=True)
        shutil.copytree(self.whole, self.run, symlinks=True)
        (self.folder / "scratch").mkdir()
        self.outside.mkdir()
        (self.outside / "kept").write_text("kept")
        (self.outside / "recipe.yaml").write_text(
            "trainer: {callbacks: canary_on_the_path.Attack}\n"
        )

    def call(self, name: str) -> None:
        words = shlex.split(LINES[name].format(**self.words))
        try:
            main([*name.split(), *words])
        except (Exception, SystemExit, KeyboardInterrupt):  # sentences are another test's
            return

    def look(self) -> dict[str, bytes]:
        """Everything outside of the run, which must stay as it is, by its path."""
        return {
            str(path): path.read_bytes()
            for path in sorted(self.folder.rglob("*"))
            if path.is_file() and not {"scratch", "runs", "__pycache__"} & {*path.parts}
        }


@pytest.fixture(scope="module")
def updated(tiny_run, tmp_path_factory) -> Path:
    """A run of two versions; the second one has not made all stages anew."""
    run = tmp_path_factory.mktemp("updated") / "run"
    shutil.copytree(tiny_run, run, ignore=shutil.ignore_patterns(".work"))
    later = run / "versions" / "2"
    for name in ("data", "ranker", "evaluate"):
        shutil.copytree(run / name, later / name)
    first = Run(run, follow=False)
    others = {
        name: {"version": 1, "fingerprint": first.stamp(name)["fingerprint"]}
        for name in ("text", "users_a", "users_b", "policy")
    }
    about = {"version": 2, "updated": 1, "elsewhere": others, "asked": {}}
    about["sources"] = {"0" * 64: "yesterday.csv"}
    about["overrides"] = {name: first.overrides(name) for name in ("data", "ranker")}
    about["command"] = "lightrec update run --log yesterday.csv"
    (later / "version.json").write_text(json.dumps(about))
    (run / "current").symlink_to("versions/2")
    (run / ".work").mkdir()
    (run / ".work" / "exchange.json").write_text('["text"]')
    return run


@pytest.fixture
def trap(updated, tmp_path, monkeypatch) -> Iterator[Trap]:
    trap = Trap(tmp_path, updated)
    monkeypatch.syspath_prepend(tmp_path / "path")
    monkeypatch.chdir(tmp_path)

    def stop(*_: object, **__: object) -> None:
        raise RunError("Nothing is trained here.")

    monkeypatch.setattr(pl.Trainer, "fit", stop)
    monkeypatch.setattr(os, "system", lambda *_: trap.marker.touch())
    if "serve" in commands():
        monkeypatch.setattr("uvicorn.run", stop)
    yield trap
    sys.modules.pop("canary_on_the_path", None)


def places(value: object) -> Iterator[tuple[object, object]]:
    """Every mapping and list with the key of a text in it, and names of parts as ``(name,)``."""
    inner = enumerate(value) if isinstance(value, list) else getattr(value, "items", tuple)()
    for key, each in inner:
        if isinstance(each, str):
            yield value, key
        if key in NAMES and isinstance(each, dict):
            yield from ((each, (name,)) for name in each)
        yield from places(each)


def forge(path: Path, chance: random.Random, hostile: str | None) -> None:
    """Put a hostile value in the place of one of a file's texts; None: in that of all imports."""
    if path.suffix != ".json":
        path.write_text(hostile or HOSTILE[2])
        return
    content = json.loads(path.read_text())
    texts = list(places(content)) or [(content, 0)]
    imports = [(holder, key) for holder, key in texts if key in IMPORTED]
    for holder, key in imports if hostile is None else [chance.choice(texts)]:
        if isinstance(key, tuple):
            holder[hostile] = holder.pop(key[0])
        else:
            holder[key] = hostile or HOSTILE[2]
    path.write_text(json.dumps(content))


def test_every_command_that_takes_a_run_is_walked():
    assert {name for name in commands() if not name.startswith(ELSEWHERE)} <= {*LINES}


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name in LINES if name in commands()])
def test_whatever_its_files_say_no_command_leaves_the_run(trap, name):
    before, chance = trap.look(), random.Random(name)
    files = sorted(p for p in trap.run.rglob("*") if p.suffix in (".json", ".txt"))
    drawn = [chance.choice(HOSTILE).format(outside=trap.outside) for _ in range(ROUNDS)]
    for hostile in [*[None] * ROUNDS, *drawn]:
        forge(chance.choice(files), chance, hostile)
        trap.call(name)
        assert trap.look() == before, hostile
        assert not trap.marker.exists(), hostile
        trap.reset()
    assert not {"canary_on_the_path", "antigravity"} & sys.modules.keys()


@pytest.mark.slow
@pytest.mark.parametrize("name", WRITING)
def test_no_command_writes_through_a_link(trap, monkeypatch, name):
    rooms = ("logs", "logs/ranker", "sources", "versions", "versions/.next", ".work", ".work/old")
    files = ("metrics.json", ".metrics.json.partial", "logs/ranker/items.tsv", "ranker/stage.json")
    for place in (*rooms, *files, "ranker", "evaluate", "versions/2", "tune-ranker"):
        path, elsewhere = trap.run / place, trap.outside / "elsewhere"
        path.parent.mkdir(exist_ok=True)
        if path.exists():
            shutil.move(path, elsewhere)
        elif place in files:
            elsewhere.write_text("kept")
        else:
            elsewhere.mkdir()
        path.symlink_to(elsewhere)
        before = trap.look()
        trap.call(name)
        assert trap.look() == before, place
        trap.reset()
