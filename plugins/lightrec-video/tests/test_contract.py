"""The package keeps lightrec's contracts."""

from pathlib import Path

from lightrec_video.readers import GENRES, MovieLensReader

from lightrec.testing import Check, ReaderChecks, check_all, parametrize_checks, plugin_checks


@parametrize_checks(plugin_checks("lightrec-video"))
def test_contract(check: Check) -> None:
    check()


def test_100k(tmp_path: Path) -> None:
    flags = "|".join(str(int(genre in ("Comedy", "War"))) for genre in GENRES)
    (tmp_path / "u.data").write_text("7\t2\t4\t881250949\n7\t1\t5\t881250949\n")
    (tmp_path / "u.item").write_text(f"1|Heat (1995)|d||u|{flags}\n2|unknown||||{flags}\n")
    (tmp_path / "u.user").write_text("7|24|M|technician|85711\n")
    check_all(ReaderChecks(MovieLensReader, tmp_path))
    check_all(ReaderChecks(MovieLensReader, tmp_path / "u.data"))


def test_1m(tmp_path: Path) -> None:
    (tmp_path / "ratings.dat").write_text("1::1193::5::978300760\n1::661::3::978302109\n")
    (tmp_path / "movies.dat").write_text("661::Peach (1996)::Animation|Children's\n")
    check_all(ReaderChecks(MovieLensReader, tmp_path))


def test_latest(tmp_path: Path) -> None:
    (tmp_path / "ratings.csv").write_text("userId,movieId,rating,timestamp\n1,16,4.0,1217897793\n")
    (tmp_path / "movies.csv").write_text("movieId,title,genres\n16,Heat (1995),Crime|Drama\n")
    check_all(ReaderChecks(MovieLensReader, tmp_path))
