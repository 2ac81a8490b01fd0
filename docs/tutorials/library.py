"""A made-up library in German: loans, some of them again, and books, of which some are new.

Readers go through series volume by volume. The files are as a German program writes them: in
Windows-1252, with semicolons, decimal commas and dates such as ``09.01.2023 10:31``.
``python library.py FOLDER`` writes them.
"""

import sys
from datetime import datetime, timedelta
from pathlib import Path
from typing import Final

import numpy as np

SERIES: Final = {
    "Krimi": ("Der Tote", "Die Kommissarin", "Mord", "Das letzte Verhör"),
    "Kochen": ("Die schnelle Küche", "Das große Backbuch", "Suppen", "Der volle Tisch"),
    "Garten": ("Der kleine Garten", "Rosen", "Das Gemüsebeet", "Die Obstwiese"),
    "Geschichte": ("Eine Chronik", "Der Krieg", "Die Kaufleute", "Das Leben"),
    "Reise": ("Zu Fuß", "Mit dem Rad", "Der Süden", "Die Küste"),
    "Kinderbuch": ("Der kleine Bär", "Das Gespenst", "Die Räuber", "Ein Sommer"),
}
"""Each subject's series."""
PLACES: Final = (
    "im Moor", "am Bodensee", "in Lübeck", "auf Juist", "im Schwarzwald", "an der Elbe",
    "in den Alpen", "am Meer", "im alten Haus", "unter Bäumen", "hinter dem Deich", "bei Nacht",
)  # fmt: skip
"""What tells a series' volumes apart, in their order."""
NEW: Final = 2
"""So many of a series' last volumes came after the last loan."""


def write(folder: Path | str, seed: int = 0, readers: int = 150, loans: int = 16) -> None:
    """Write ``Ausleihen.csv`` and ``Bestand.csv`` into a folder, which is made if need be.

    Half of all loans are followed by the next volume of the series; a seventh are of a book that
    the reader has had, and the others begin a series of one of the reader's two subjects, so that a
    quarter of all loans come again.
    """
    chance, folder = np.random.default_rng(seed), Path(folder)
    names = [(subject, series) for subject, own in SERIES.items() for series in own]
    lines = ["Signatur;Titel;Sachgebiet;Jahr;Preis"]
    for number, (subject, series) in enumerate(names):
        for volume, place in enumerate(PLACES):
            year = 2024 if volume >= len(PLACES) - NEW else int(chance.integers(1998, 2023))
            price = f"{chance.integers(8, 30)},{chance.choice(['00', '50', '90'])}"
            lines.append(f"{_mark(number, volume)};{series} {place};{subject};{year};{price}")
    found = []
    for reader in range(readers):
        subjects = chance.choice(len(SERIES), 2, replace=False)
        time = datetime(2023, 1, 2, 10) + timedelta(days=int(chance.integers(200)))
        number, volume, before = -1, len(PLACES), list[str]()
        for _ in range(loans):
            if before and chance.random() < 1 / 7:
                book = str(chance.choice(before))
            else:
                volume += 1
                if volume >= len(PLACES) - NEW or chance.random() < 0.3:
                    number, volume = 4 * int(chance.choice(subjects)) + int(chance.integers(4)), 0
                book = _mark(number, volume)
            before.append(book)
            found.append((time, f"L{1000 + reader};{book};{time:%d.%m.%Y %H:%M}"))
            time += timedelta(days=int(chance.integers(4, 30)), minutes=int(chance.integers(480)))
    folder.mkdir(parents=True, exist_ok=True)
    lent = ["Leser;Signatur;Ausgeliehen", *(line for _, line in sorted(found))]
    for name, rows in (("Ausleihen.csv", lent), ("Bestand.csv", lines)):
        (folder / name).write_text("\n".join(rows) + "\n", encoding="cp1252")


def _mark(series: int, volume: int) -> str:
    return f"{'KBGHRJ'[series // 4]}{series % 4 + 1}-{volume + 1:02d}"


if __name__ == "__main__":
    write(sys.argv[1] if len(sys.argv) > 1 else ".")
