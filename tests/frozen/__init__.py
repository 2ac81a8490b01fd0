"""Packages as strangers wrote them for version 1 of the API, and what they mend to run today.

Nobody mends the packages themselves: `clinic` states its version, `courses` states none.
"""

from collections.abc import Mapping
from pathlib import Path

MENDS: Mapping[str, str] = {
    "eligible(self, users, items, time):": "eligible(self, audience):\n"
    "        users, items = audience.users, audience.items",
    "LIGHTREC_API = 1": "LIGHTREC_API = 2",
    "from lightrec.hookspecs import gives\n\nlightrec": "from lightrec.hookspecs import gives\n\n"
    "LIGHTREC_API = 2\nlightrec",
    "def scores(self, state: State)": "def scores_in(self, state: State)",
}
"""The mends that docs/reference/migration.md names: what is written in place of what."""


def texts(name: str, mends: Mapping[str, str] = MENDS) -> dict[str, str]:
    """The modules of a package, mended."""
    modules = {file.stem: file.read_text() for file in Path(__file__).parent.glob(f"{name}/*.py")}
    for old, new in mends.items():
        modules = {module: text.replace(old, new) for module, text in modules.items()}
    return modules
