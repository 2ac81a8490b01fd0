"""The readers keep the contract of readers."""

from lightrec_formats.recbole import RecBoleReader

from lightrec.testing import check_all, tiny
from lightrec.testing.tables import ReaderChecks


def test_contract(tmp_path):
    log, _ = tiny.write_log(tmp_path)
    lines = log.read_text().replace(",", "\t").splitlines()[1:]
    names = "user_id:token\titem_id:token\ttimestamp:token"
    (tmp_path / "shop").mkdir()
    (tmp_path / "shop" / "shop.inter").write_text("\n".join([names, *lines]))
    check_all(ReaderChecks(RecBoleReader, tmp_path / "shop"))
