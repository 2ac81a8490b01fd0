"""`lightrec doctor`: everything is named, and what needs mending is marked."""

import json
from importlib import metadata

from lightrec.__main__ import main
from lightrec.cli import doctor


def test_what_is_wrong_is_marked_and_no_secret_is_told(capsys, monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setenv("HF_TOKEN", "secret-of-mine")
    versions = metadata.version
    monkeypatch.setattr(
        doctor.metadata, "version", lambda name: "0.9" if name == "pluggy" else versions(name)
    )
    assert main(["doctor", "--json"]) == 2
    printed = capsys.readouterr().out
    assert "secret-of-mine" not in printed
    (bad,) = [f for f in json.loads(printed) if f["name"] == "pluggy"]
    assert bad["value"] == "0.9"
    assert "pip install 'pluggy" in bad["mend"]
