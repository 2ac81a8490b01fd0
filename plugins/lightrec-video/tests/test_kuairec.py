"""KuaiRec's answers, which a world plays."""

from lightrec_formats.described import described, write_example
from lightrec_video.readers import WatchingSets
from lightrec_worlds.answered import AnsweredWorld


def test_the_answers(tmp_path):
    answers = described(WatchingSets.descriptions)["kuairec-answers"]
    file = write_example(answers, tmp_path) / "small_matrix.csv"
    file.write_text(file.read_text() + "19,148,12200,6067,,,,2.0109\n19,183,0,10867,,,,0.0\n")
    assert WatchingSets().read(file).log.events["time"].null_count() == 4
    world = AnsweredWorld(2, log=str(file), likes=2, part="all", size=1, max_steps=2)
    assert world.values[:, 1:].tolist() == [[0, 1], [1, 0]]
