"""Fetching without a network: wheels and zips come from this machine, and hashes are checked."""

import hashlib
import zipfile

import pytest
from lightrec_formats.fetch import fetch_wheel_files, fetch_zip_files

from lightrec.errors import FetchError

CONTENT = b"some data"


def sha256(content):
    return hashlib.sha256(content).hexdigest()


def test_files_out_of_a_wheel(tmp_path, monkeypatch):
    # A folder of wheels that pip takes for the package index.
    folder = tmp_path / "index"
    folder.mkdir()
    files = {
        "toydata/set/log.csv": CONTENT,
        "toydata-1.0.dist-info/METADATA": "Metadata-Version: 2.1\nName: toydata\nVersion: 1.0\n",
        "toydata-1.0.dist-info/WHEEL": "Wheel-Version: 1.0\nTag: py3-none-any\n",
        "toydata-1.0.dist-info/RECORD": "",
    }
    with zipfile.ZipFile(folder / "toydata-1.0-py3-none-any.whl", "w") as wheel:
        for name, text in files.items():
            wheel.writestr(name, text)
    for name, value in {"NO_INDEX": "1", "FIND_LINKS": str(folder), "CONSTRAINT": ""}.items():
        monkeypatch.setenv(f"PIP_{name}", value)
    fetch_wheel_files("toydata", "1.0", "toydata/set", {"log.csv": sha256(CONTENT)}, tmp_path)
    assert (tmp_path / "log.csv").read_bytes() == CONTENT
    with pytest.raises(FetchError, match=r"log\.csv in the wheel of toydata 1\.0 is not the known"):
        fetch_wheel_files("toydata", "1.0", "toydata/set", {"log.csv": sha256(b"")}, tmp_path)
    with pytest.raises(FetchError, match="is not the expected one"):
        fetch_wheel_files("toydata", "1.0", "toydata/set", {"other.csv": ""}, tmp_path)
    with pytest.raises(FetchError, match=r"pip could not download toydata 2\.0: ERROR: .*2\.0"):
        fetch_wheel_files("toydata", "2.0", "toydata/set", {}, tmp_path)


def test_files_out_of_a_zip(tmp_path):
    archive = tmp_path / "set.zip"
    with zipfile.ZipFile(archive, "w") as file:
        file.writestr("set/u.data", CONTENT)
    md5 = hashlib.md5(archive.read_bytes()).hexdigest()
    fetch_zip_files(archive.as_uri(), md5, {"u.data": "set/u.data"}, tmp_path)
    assert (tmp_path / "u.data").read_bytes() == CONTENT
    with pytest.raises(FetchError, match="its MD5 is not 0"):
        fetch_zip_files(archive.as_uri(), "0", {"u.data": "set/u.data"}, tmp_path)
    with pytest.raises(FetchError, match="could not be downloaded"):
        fetch_zip_files((tmp_path / "none.zip").as_uri(), md5, {}, tmp_path)
