"""What this package adds to lightrec."""

from pathlib import Path

from lightrec.hookspecs import hookimpl

LIGHTREC_API = 1


@hookimpl
def lightrec_domains() -> dict[str, str]:
    """Give the domain of films and series."""
    return {"video": "lightrec_video.domain:VideoDomain"}


@hookimpl
def lightrec_readers() -> dict[str, str]:
    """Give the readers of GroupLens's files."""
    return {"MovieLensReader": "lightrec_video.readers:MovieLensReader"}


@hookimpl
def lightrec_recipes() -> list[Path]:
    """Give the recipes of ``lightrec run video``."""
    return [Path(__file__).parent / "recipes"]
