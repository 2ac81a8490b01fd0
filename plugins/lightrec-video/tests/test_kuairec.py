"""KuaiRec's files: its log, and the answers, which a world plays."""

from lightrec_testing import ReaderChecks, check_all
from lightrec_video.readers import WatchingSets
from lightrec_worlds.answered import AnsweredWorld

NAMES = "user_id,video_id,play_duration,video_duration,time,date,timestamp,watch_ratio\n"
LOG = (
    NAMES
    + "0,3649,13838,10867,2020-07-05 00:08:23.438,20200705,1593878903.438,1.2733965215790926\n"
)
ANSWERS = NAMES + (
    "14,148,4381,6067,2020-07-05 05:27:48.378,20200705.0,1593898068.378,0.7221\n"
    "14,183,23000,10867,,,,2.1165\n19,148,12200,6067,,,,2.0109\n19,183,0,10867,,,,0.0\n"
)


def test_the_log_and_the_answers(tmp_path):
    (tmp_path / "big_matrix.csv").write_text(LOG)
    (tmp_path / "small_matrix.csv").write_text(ANSWERS)
    (tmp_path / "item_categories.csv").write_text(
        'video_id,feat\n148,"[27, 9]"\n183,[8]\n3649,[8]\n'
    )
    check_all(ReaderChecks(WatchingSets, tmp_path))
    tables = WatchingSets().read(tmp_path)
    assert tables.catalog.rows.select("item", "tags").rows()[0] == ("148", ["27", "9"])
    assert not tables.log.events["time"].null_count()
    file = tmp_path / "small_matrix.csv"
    check_all(ReaderChecks(WatchingSets, file))
    assert WatchingSets().read(file).log.events["time"].null_count() == 4
    world = AnsweredWorld(2, log=str(file), likes=2, part="all", size=1, max_steps=2)
    assert world.values[:, 1:].tolist() == [[0, 1], [1, 0]]
