"""Print what lightrec, its packages and its tests ask for, but each other: see `make locks`."""

import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[1]

found = set()
for path in (ROOT / "pyproject.toml", *ROOT.glob("plugins/*/pyproject.toml")):
    read = tomllib.loads(path.read_text())
    project = read["project"]
    several = project.get("optional-dependencies", {}) | read.get("dependency-groups", {})
    for lines in (project.get("dependencies", ()), *several.values()):
        found |= {line for line in lines if not line.startswith("lightrec")}
print(*sorted(found), sep="\n")
