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
def lightrec_components() -> dict[str, str]:
    """Give the item model of series."""
    return {"NextEpisode": "lightrec_video.watching:NextEpisode"}


@hookimpl
def lightrec_rewards() -> dict[str, str]:
    """Give the reward of the time that is watched."""
    return {"WatchTime": "lightrec_video.watching:WatchTime"}


@hookimpl
def lightrec_recipes() -> list[Path]:
    """Give the recipes of ``lightrec run video``."""
    return [Path(__file__).parent / "recipes"]
