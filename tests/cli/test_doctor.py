"""`lightrec doctor`: everything is named, and what needs mending is marked."""

import json
from importlib import metadata

from lightrec.__main__ import main
from lightrec.cli import doctor


def test_every_topic_is_there(capsys, monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setenv("HF_TOKEN", "secret-of-mine")
    main(["doctor"])
    text = capsys.readouterr().out
    for topic in ("versions", "devices", "plugins", "models", "folders", "environment"):
        assert f"{topic}:\n" in text
    assert metadata.version("torch") in text
    assert "secret-of-mine" not in text


def test_what_is_wrong_is_marked_and_counted(capsys, monkeypatch, tmp_path):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    versions = metadata.version
    monkeypatch.setattr(
        doctor.metadata, "version", lambda name: "0.9" if name == "pluggy" else versions(name)
    )
    assert main(["doctor", "--json"]) == 2
    findings = json.loads(capsys.readouterr().out)
    (bad,) = [f for f in findings if f["name"] == "pluggy"]
    assert bad["value"] == "0.9"
    assert "pip install 'pluggy" in bad["mend"]
