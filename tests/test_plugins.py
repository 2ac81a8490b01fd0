"""Plugins: found through entry points, isolated when broken, refused when they clash."""

import json
import re
import tomllib
from pathlib import Path

import pytest

from lightrec import plugins
from lightrec.__main__ import commands, main
from lightrec.blame import blaming
from lightrec.encoders.base import Encoder
from lightrec.encoders.text import TextEncoder
from lightrec.errors import PluginError

GOOD = """
from lightrec.hookspecs import gives
lightrec_domains = gives({"chess": "chess_domain:Chess"})
"""


def test_the_extra_all_names_every_package_of_the_repository():
    root = Path(__file__).parents[1]
    extras = tomllib.loads((root / "pyproject.toml").read_text())["project"]
    folders = {path.name for path in root.glob("plugins/lightrec-*")} - {"lightrec-hello"}
    assert {name.partition(">")[0] for name in extras["optional-dependencies"]["all"]} == folders


def test_only_the_parts_that_settings_name_are_imported(lightrec_plugins):
    hooks = GOOD + 'lightrec_encoders = gives({"Lost": "nowhere:Lost", "Gone": "nowhere:Gone"})\n'
    installed = plugins.discover([lightrec_plugins.add("bad", hooks)])
    assert installed.load_all("{'text_encoder': 'TextEncoder'} --loss=SoftmaxLoss") == []
    (sentence,) = installed.load_all("--data.init_args.text_encoder=plugin.Lost")
    assert "nowhere:Lost" in sentence


@pytest.mark.parametrize(
    ("hooks", "message"),
    [
        ("import no_such_module_here\n", "cannot be loaded from hooks_of_bad: ModuleNotFoundError"),
        ("LIGHTREC_API = 99\n", "states LIGHTREC_API = 99, and this lightrec has the"),
        ("LIGHTREC_API = '2'\n", "state a version that there is."),
        ("@hookimpl\ndef lightrec_encodrs(): return {}\n", "Call it lightrec_encoders."),
        ("@hookimpl\ndef lightrec_tables(): return {}\n", "The hooks are lightrec_encoders,"),
        ("@hookimpl\ndef lightrec_encoders(x): return {}\n", "cannot be used"),
        ("def lightrec_encoders(): return {}\n", "Write @hookimpl above it, or"),
        ("lightrec_encoders = {}\n", "put gives() around what it is."),
        ("@hookimpl\ndef lightrec_encoders(): return ['A']\n", "returned ['A']. Return short"),
        ("@hookimpl\ndef lightrec_encoders(): return {'A': 'a.b.A'}\n", "'a.b.A'. Write it as"),
        ("@hookimpl\ndef lightrec_encoders(): 1 / 0\n", "ZeroDivisionError"),
        ("@hookimpl\ndef lightrec_recipes(): return '/tmp'\n", "Return a list of folders"),
        ("@hookimpl\ndef lightrec_recipes(): return ['/no/such']\n", "there is no such folder"),
        ("@hookimpl\ndef lightrec_recipes(): return ['/dev']\n", "the folder around the sets"),
    ],
)
def test_a_broken_plugin_is_told_of_and_the_others_go_on(lightrec_plugins, hooks, message):
    bad = lightrec_plugins.add("bad", hooks)
    installed = plugins.discover([bad, lightrec_plugins.add("good", GOOD)])
    assert message in installed.broken["bad"]
    assert "chess" in installed.parts["domains"]


CRAWLER = 'lightrec_crawlers = hookimpl(lambda: {"Crawler": "lightrec.encoders.words:WordEncoder"})'
SLOTS = 'lightrec_slots = hookimpl(lambda: {"crawlers": "lightrec.encoders.base:Encoder"})'


def test_a_package_adds_a_slot_that_others_fill(lightrec_plugins, capsys):
    filling = lightrec_plugins.add("a_filling", CRAWLER)
    assert "there is no such hook" in plugins.discover([filling]).broken["a_filling"]
    installed = plugins.discover([filling, lightrec_plugins.add("slots", SLOTS)])
    assert not installed.broken
    assert installed.parts["crawlers"]["Crawler"].base == "lightrec.encoders.base:Encoder"
    with pytest.raises(PluginError, match="Call it 'WordEncoder' in lightrec_crawlers"):
        installed.get("crawlers", "Crawler").load()
    assert main(["plugins", "list"]) == 0
    assert "crawlers:\n  Crawler " in capsys.readouterr().out
    taken = lightrec_plugins.add("taken", SLOTS.replace("crawlers", "encoders"))
    assert "adds the slot 'encoders', which is taken" in plugins.discover([taken]).broken["taken"]


def test_allow_and_block_lists(lightrec_plugins, monkeypatch):
    hooks = {"one": GOOD, "two": GOOD.replace("chess", "draughts")}
    points = [lightrec_plugins.add(name, text) for name, text in hooks.items()]
    monkeypatch.setenv("LIGHTREC_DISABLED_PLUGINS", "two")
    assert set(plugins.discover(points).parts["domains"]) == {"generic", "chess"}
    monkeypatch.delenv("LIGHTREC_DISABLED_PLUGINS")
    monkeypatch.setenv("LIGHTREC_LOAD_PLUGINS", "two")
    assert set(plugins.discover(points).parts["domains"]) == {"generic", "draughts"}


def test_a_class_that_cannot_be_used_says_why(lightrec_plugins):
    classes = {
        "no_such_module_here:Missing": "cannot be imported",
        "collections:Counter": "not a subclass of lightrec.encoders.base:Encoder",
        "lightrec.encoders.base:Encoder": "it lacks encode, size",
        "lightrec.encoders.text:TextEncoder": "Call it 'TextEncoder' in lightrec_encoders",
    }
    hooks = f"{GOOD}lightrec_encoders = gives({dict(zip('abcd', classes, strict=True))})\n"
    installed = plugins.discover([lightrec_plugins.add("bad", hooks)])
    for name, message in zip("abcd", classes.values(), strict=True):
        with pytest.raises(PluginError, match=message):
            installed.parts["encoders"][name].load()
    with pytest.raises(PluginError, match=r"no 'TextEncodr' among .* are: .*TextEncoder"):
        installed.get("encoders", "TextEncodr")


@pytest.mark.parametrize(
    ("source", "line"),
    [("import os\n\nimport no_such_module\n", 3), ("x = 1\ndef (\n", 2), ("1 / 0\n", 1)],
)
def test_an_import_failure_names_the_line_in_the_part_s_own_file(lightrec_plugins, source, line):
    hooks = 'lightrec_encoders = gives({"Mine": "broken_part:Mine", "Gone": "broken_parts:Gone"})\n'
    installed = plugins.discover([lightrec_plugins.add("bad", GOOD + hooks)])
    file = lightrec_plugins.folder / "broken_part.py"
    file.write_text(source)
    with pytest.raises(PluginError, match=rf"^broken_part:Mine of bad.*\({file}, line {line}\)\.$"):
        installed.parts["encoders"]["Mine"].load()
    with pytest.raises(PluginError, match=r"\(correct the path in lightrec_encoders\)\.$"):
        installed.parts["encoders"]["Gone"].load()


def test_a_base_class_that_cannot_be_imported_is_not_blamed_on_who_fills_its_slot(lightrec_plugins):
    slots = lightrec_plugins.add("slots", SLOTS.replace("lightrec.encoders.base", "no_such_module"))
    installed = plugins.discover([slots, lightrec_plugins.add("filling", CRAWLER)])
    message = r"^no_such_module:Encoder, from which all crawlers .* the path in lightrec_slots\)"
    with pytest.raises(PluginError, match=message):
        installed.get("crawlers", "Crawler").load()


class Crawler(Encoder):
    """Fails by itself, in what it calls, or because there is too little memory."""

    size = 1

    def encode(self, texts):
        match texts:
            case ["alone"]:
                return 1 / 0
            case ["called"]:
                return json.loads("{")
        raise RuntimeError("CUDA out of memory.")


def test_an_error_is_blamed_on_whose_part_was_at_work_and_on_nobody_else():
    start = Crawler.encode.__code__.co_firstlineno
    for text, line, error in (("alone", 3, "ZeroDivisionError"), ("called", 5, "JSONDecodeError")):
        with pytest.raises(PluginError) as raised, blaming(None, "do its part"):
            Crawler().encode([text])
        said = str(raised.value)
        assert said.startswith(f"Crawler of the module {__name__} could not do its part. It raised")
        assert f" {error}: " in said
        assert said.endswith(f"({__file__}, line {start + line}).")
    with pytest.raises(RuntimeError, match="out of memory"), blaming(None, "do its part"):
        Crawler().encode([])
    with pytest.raises(ValueError, match="Expecting"), blaming(None, "do its part"):
        json.loads("{")
    named = pytest.raises(PluginError, match=r"^TextEncoder of lightrec .* could not count\.")
    with named, blaming(TextEncoder, "count"):
        json.loads("{")


COMMAND = """
    from typing import Literal

    @hookimpl
    def lightrec_commands():
        return {"serve": "hooks_of_serving:serve", "run": "hooks_of_serving:serve"}

    def serve(run: str, *hosts: str, port: int = 80, fast: bool = False,
              by: Literal["policy", "ranker"] = "policy"):
        '''Serve a run.

        example: lightrec serve runs/video

        :param run: a run folder.
        :param port: where it listens.
        :param fast: whether it hurries.
        :param by: what ranks.
        '''
        print(run, hosts, port, fast, by)
        return 3 if fast else None
"""


def test_a_plugin_adds_a_command_by_a_function(lightrec_plugins, capsys):
    lightrec_plugins.add("serving", COMMAND)
    assert main(["--help"]) == 0
    assert re.search(r"  serve +Serve a run. \[serving\]\n", capsys.readouterr().out)
    assert main(["serve", "runs/video", "--host", "a", "--port", "8", "--by", "ranker"]) == 0
    assert capsys.readouterr().out == "runs/video ('--host', 'a') 8 False ranker\n"
    assert main(["serve", "runs/video", "--fast"]) == 3
    with pytest.raises(SystemExit):
        main(["serve", "--help"])
    shown = capsys.readouterr().out
    assert "where it listens (default: 80)" in shown
    assert "example: lightrec serve runs/video" in shown
    assert "'run' among the commands is taken" in plugins.installed().refused["commands", "run"]
    assert commands()["run"].path == "lightrec.cli.run:run"
