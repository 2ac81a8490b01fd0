import pytest

from lightrec.data.languages import in_words, languages_of

TITLES = {
    "de": "Die Verwandlung|Im Westen nichts Neues|Kleine Geschichte der Hanse|Das Parfum|Der "
    "Besuch der alten Dame|Die unendliche Geschichte|Ansichten eines Clowns|Der Schimmelreiter",
    "en": "The old man and the sea|Pride and prejudice|A room of one's own|The turn of the screw|"
    "Great expectations|Far from the madding crowd|The remains of the day|Of mice and men",
    "zh": "无线蓝牙耳机|不锈钢保温杯|儿童户外背包|复古台灯|智能手表|便携折叠雨伞|静音机械键盘|"
    "迷你加湿器|红楼梦|城市的夜晚|平凡的世界|家常菜谱大全|中国通史|海边的房子|电热水壶|纯棉床单|竹制砧板|"
    "男士运动鞋|女士羊毛围巾|陶瓷咖啡杯|四季花茶",
}


@pytest.mark.parametrize("code", TITLES)
def test_the_language_of_titles_is_found(code):
    titles = TITLES[code].split("|")
    assert languages_of(titles) == {code: 1.0}
    assert languages_of([*titles, None, "", "12 (1995)"]) == {code: 1.0}


def test_shares_of_a_catalog_in_two_languages():
    shares = languages_of(TITLES["de"].split("|") * 6 + TITLES["en"].split("|") * 2)
    assert [*shares] == ["de", "en"]
    assert shares["de"] == pytest.approx(0.75, abs=0.1)
    words = in_words({"de": 0.75, "en": 0.2, "xx": 0.05})
    assert words == "German (75 %), English (20 %) and xx (5 %)"


def test_names_and_numbers_tell_no_language():
    assert languages_of(f"tea number {number}" for number in range(99)) == {}
    assert languages_of(f"SK-{number * 37}" for number in range(99)) == {}
    assert languages_of([]) == {}
