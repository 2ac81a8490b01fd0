"""A made-up web market in Chinese: views, carts and purchases, and goods with their prices.

People look at all goods of two categories and buy those in the two styles that they like, which the
titles alone tell. ``python market.py FOLDER`` writes the files, in GB 18030.
"""

import sys
from datetime import datetime, timedelta
from pathlib import Path
from typing import Final

import numpy as np

STYLES: Final = ("便携", "复古", "智能", "儿童", "户外", "静音", "迷你", "豪华")
KINDS: Final = {
    "数码": ("蓝牙耳机", "机械键盘", "充电宝", "电子手表"),
    "家居": ("台灯", "闹钟", "加湿器", "折叠椅"),
    "厨房": ("保温杯", "电热水壶", "陶瓷咖啡杯", "不锈钢饭盒"),
    "服饰": ("双肩背包", "羊毛围巾", "运动鞋", "折叠雨伞"),
}
"""Each category's goods."""


def write(folder: Path | str, seed: int = 0, people: int = 200, visits: int = 6) -> None:
    """Write ``日志.csv`` and ``商品.csv`` into a folder, which is made if need be.

    In a visit, people view three goods, put one that they like into the cart, mostly to leave it
    there, and buy another that they like and do not have.
    """
    chance, folder = np.random.default_rng(seed), Path(folder)
    goods = [(style, kind, name) for kind, own in KINDS.items() for name in own for style in STYLES]
    lines = ["编号,名称,类别,价格"]
    for number, (style, kind, name) in enumerate(goods):
        price = round(float(np.exp(chance.normal(4.5, 0.6))), 1)
        lines.append(f"G{number:03d},{style}{name},{kind},{price}")
    found = []
    for person in range(people):
        kinds, styles = chance.choice([*KINDS], 2, False), chance.choice(STYLES, 2, False)
        near = [number for number, (_, kind, _) in enumerate(goods) if kind in kinds]
        liked = [number for number in near if goods[number][0] in styles]
        time = datetime(2024, 3, 1, 8) + timedelta(hours=int(chance.integers(400)))
        for bought in chance.choice(liked, visits, False):
            steps = [(seen, "浏览") for seen in chance.choice(near, 3, False)]
            for what, step in [*steps, (chance.choice(liked), "加购"), (bought, "购买")]:
                found.append((time, f"u{person:03d},G{what:03d},{step},{time:%Y-%m-%d %H:%M}"))
                time += timedelta(minutes=int(chance.integers(1, 9)))
            time += timedelta(hours=int(chance.integers(20, 200)))
    folder.mkdir(parents=True, exist_ok=True)
    rows = ["用户,商品,行为,时间", *(line for _, line in sorted(found))]
    for path, content in (("日志.csv", rows), ("商品.csv", lines)):
        (folder / path).write_text("\n".join(content) + "\n", encoding="gb18030")


if __name__ == "__main__":
    write(sys.argv[1] if len(sys.argv) > 1 else ".")
