"""Tracks and artists: how they are put into words, what a skip is worth, and a made-up log."""

from pathlib import Path
from types import MappingProxyType

from lightrec.api import Domain


class MusicDomain(Domain):
    """Music, which people play again: ``Hyperballad. Artist: Björk. Tags: electronic, icelandic``.

    A skip stays in the history and is never a target.
    """

    name = "music"
    repeats = True
    words = MappingProxyType(
        {
            "title": "{}",
            "artist": "Artist: {}",
            "album": "Album: {}",
            "tags": "Tags: {}",
            "genres": "Genres: {}",
        }
    )
    feedback = MappingProxyType({"play": 1.0, "count": 1.0, "love": 2.0, "skip": -1.0, "ban": -1.0})

    def synthetic(self, folder: Path, seed: int) -> Path:
        """Write the made-up log of :mod:`lightrec_music.made_up`."""
        from lightrec_music.made_up import listening  # whoever asks only for words needs none

        return listening(folder, seed)
