"""Packages as pip leaves them, made in a folder that a test puts on the path."""

import sysconfig
import textwrap
import venv
from pathlib import Path

HEAD = "from lightrec.hookspecs import hookimpl\nLIGHTREC_API = 2\n"


def install(folder: Path, name: str, hooks: str, version: str = "1.0", **modules: str) -> None:
    """Write a distribution ``lightrec-NAME`` whose entry point names a module of hooks.

    :param hooks: the module's text; what a small one begins with is written before it.
    """
    module = f"lightrec_{name}"
    package = folder / module
    package.mkdir()
    (package / "__init__.py").write_text("")
    head = "" if hooks.startswith('"""') else HEAD
    (package / "hooks.py").write_text(head + textwrap.dedent(hooks))
    for other, text in modules.items():
        (package / f"{other}.py").write_text(textwrap.dedent(text))
    register(folder, name, version)


def register(folder: Path, name: str, version: str) -> None:
    """Write what pip notes of such a distribution beside its module."""
    module = f"lightrec_{name}"
    info = folder / f"{module}-{version}.dist-info"
    info.mkdir()
    project = module.replace("_", "-")
    (info / "METADATA").write_text(
        f"Metadata-Version: 2.1\nName: {project}\nVersion: {version}\nSummary: A test.\n"
    )
    (info / "entry_points.txt").write_text(f"[lightrec]\n{name} = {module}.hooks\n")


def environment(folder: Path, without: str) -> Path:
    """Make an environment that has the packages of this one by links; gives its site-packages.

    :param without: what stands in the names of those that are left out.
    """
    venv.create(folder, symlinks=True)
    scheme = {"base": str(folder), "platbase": str(folder)}
    site = Path(sysconfig.get_path("purelib", vars=scheme))
    for path in Path(sysconfig.get_path("purelib")).iterdir():
        if without not in path.name:
            (site / path.name).symlink_to(path)
    return site
