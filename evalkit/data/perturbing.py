"""Changes to a row that leave its right labels as they were.

Every change is a pure function of a text and a seed, so the same rows are asked on every machine.
"""

from __future__ import annotations

import hashlib
import random
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from evalkit.records import Example, Label
from evalkit.tasks import Field, FieldKind, Task

Change = Callable[[str, random.Random], str]

NAME_INPUTS = frozenset({"app_name"})
"""Inputs that name something: nobody mistypes them or puts an emoji behind them."""

_SENTENCE_MARK = re.compile(r"(?<=[^\W_])([,.!?;:](?=\s|\Z)|[，。！？；：、])")
_GAP_AFTER_MARK = re.compile(r"(?<=[^\W\d_])([,.!?;:])[ ]+(?=\S)")
_LONG_WORD = re.compile(r"(?<![\w@/.#-])[A-Za-z]{5,}(?![\w@/-]|\.\w)")

_EMOJI = ("🙂", "✨", "📎", "🔹", "👋", "🍀")

_FULL_WIDTH = {code: code + 0xFEE0 for code in range(0x21, 0x7F)}

APPS: tuple[tuple[str, str], ...] = (
    ("1688", "阿里巴巴"),
    ("Agricultural Bank of China", "中国农业银行"),
    ("Air China", "中国国航"),
    ("Airbnb", "爱彼迎"),
    ("Alipay", "支付宝"),
    ("Amap", "高德地图"),
    ("Amazon Shopping", "亚马逊购物"),
    ("App Store", "应用商店"),
    ("Apple Music", "苹果音乐"),
    ("Apple Watch", "苹果手表"),
    ("Baidu", "百度"),
    ("Baidu Maps", "百度地图"),
    ("Baidu Netdisk", "百度网盘"),
    ("Bank of China", "中国银行"),
    ("Battery", "电池"),
    ("Bilibili", "哔哩哔哩"),
    ("Booking.com", "缤客"),
    ("Caixin", "财新"),
    ("Calendar", "日历"),
    ("Camera", "相机"),
    ("China Construction Bank", "中国建设银行"),
    ("China Merchants Bank", "招商银行"),
    ("China Mobile", "中国移动"),
    ("China Southern Airlines", "南方航空"),
    ("China Telecom", "中国电信"),
    ("China Unicom", "中国联通"),
    ("Clock", "时钟"),
    ("Contacts", "通讯录"),
    ("Ctrip", "携程旅行"),
    ("DHL", "敦豪快递"),
    ("Dianping", "大众点评"),
    ("DiDi", "滴滴出行"),
    ("DingTalk", "钉钉"),
    ("Douban", "豆瓣"),
    ("Douyin", "抖音"),
    ("Duolingo", "多邻国"),
    ("Ele.me", "饿了么"),
    ("Email", "电子邮件"),
    ("Facebook", "脸书"),
    ("FedEx", "联邦快递"),
    ("Feishu", "飞书"),
    ("Files", "文件"),
    ("Find My", "查找"),
    ("Fliggy", "飞猪旅行"),
    ("Freshippo", "盒马"),
    ("Gallery", "相册"),
    ("Gmail", "谷歌邮箱"),
    ("Google Calendar", "谷歌日历"),
    ("Google Home", "谷歌家庭"),
    ("Google Maps", "谷歌地图"),
    ("Google Meet", "谷歌会议"),
    ("Google Pay", "谷歌支付"),
    ("Google Play Store", "谷歌应用商店"),
    ("HSBC", "汇丰银行"),
    ("HUAWEI Health", "华为运动健康"),
    ("Idle Fish", "闲鱼"),
    ("IKEA", "宜家家居"),
    ("Industrial and Commercial Bank of China", "中国工商银行"),
    ("Instagram", "照片墙"),
    ("iQIYI", "爱奇艺"),
    ("JD", "京东"),
    ("KFC", "肯德基"),
    ("Kuaishou", "快手"),
    ("LinkedIn", "领英"),
    ("Luckin Coffee", "瑞幸咖啡"),
    ("Mail", "邮件"),
    ("Maps", "地图"),
    ("Marriott Bonvoy", "万豪旅享家"),
    ("McDonald's", "麦当劳"),
    ("Meituan", "美团"),
    ("Messages", "信息"),
    ("Mi Home", "米家"),
    ("Music", "音乐"),
    ("NetEase Cloud Music", "网易云音乐"),
    ("NetEase Mail", "网易邮箱"),
    ("Netflix", "奈飞"),
    ("News", "新闻"),
    ("Nike", "耐克"),
    ("Notes", "备忘录"),
    ("Phone", "电话"),
    ("Photos", "照片"),
    ("Pinduoduo", "拼多多"),
    ("Pinterest", "缤趣"),
    ("QQ Mail", "QQ邮箱"),
    ("QQ Music", "QQ音乐"),
    ("Railway 12306", "铁路12306"),
    ("Reminders", "提醒事项"),
    ("Security", "安全中心"),
    ("Settings", "设置"),
    ("SF Express", "顺丰速运"),
    ("Sina Weibo", "微博"),
    ("Starbucks", "星巴克"),
    ("System Update", "系统更新"),
    ("Taobao", "淘宝"),
    ("Tencent Docs", "腾讯文档"),
    ("Tencent Meeting", "腾讯会议"),
    ("Tencent Video", "腾讯视频"),
    ("The New York Times", "纽约时报"),
    ("Tmall", "天猫"),
    ("Toutiao", "今日头条"),
    ("Uber", "优步"),
    ("UnionPay", "云闪付"),
    ("UPS", "联合包裹"),
    ("Vipshop", "唯品会"),
    ("Wallet", "钱包"),
    ("Walmart", "沃尔玛"),
    ("Weather", "天气"),
    ("Weather Alerts", "天气预警"),
    ("WeChat", "微信"),
    ("WeCom", "企业微信"),
    ("Xiaohongshu", "小红书"),
    ("Ximalaya", "喜马拉雅"),
    ("Youku", "优酷"),
    ("Zhihu", "知乎"),
    ("ZTO Express", "中通快递"),
)
"""Apps by their English and their Chinese names."""

_ENGLISH = {english.casefold(): chinese for english, chinese in APPS}
_CHINESE = {chinese: english for english, chinese in APPS}


@dataclass(frozen=True, slots=True)
class Perturbation:
    """A kind of change that does not matter."""

    ways: tuple[Change, ...]
    """One of them is drawn for a row; another where that one changes nothing."""
    on_names: bool = True
    """Whether inputs that name something are changed, too."""
    on_texts: bool = True
    """Whether all other inputs are."""


def lower(text: str, draw: random.Random) -> str:
    """Take the capitals away."""
    return text.lower()


def upper(text: str, draw: random.Random) -> str:
    """Put everything in capitals."""
    return text.upper()


def double_spaces(text: str, draw: random.Random) -> str:
    """Double every space."""
    return text.replace(" ", "  ")


def space_before_marks(text: str, draw: random.Random) -> str:
    """Put a space before the marks that end a phrase."""
    return _SENTENCE_MARK.sub(r" \1", text)


def no_space_after_marks(text: str, draw: random.Random) -> str:
    """Take the space after such a mark away."""
    return _GAP_AFTER_MARK.sub(r"\1", text)


def full_width(text: str, draw: random.Random) -> str:
    """Write ASCII letters, digits and signs in their full-width forms, as Chinese keyboards do."""
    return text.translate(_FULL_WIDTH)


def add_emoji(text: str, draw: random.Random) -> str:
    """Put an emoji that says nothing behind a text."""
    return f"{text} {draw.choice(_EMOJI)}" if text.strip() else text


def add_typo(text: str, draw: random.Random) -> str:
    """Swap two neighbouring letters of a longer word, or drop one; its ends stay."""
    words = list(_LONG_WORD.finditer(text))
    if not words:
        return text
    word = draw.choice(words)
    place = draw.randrange(word.start() + 1, word.end() - 2)
    swapped = text[place + 1] + text[place]
    if draw.random() < 0.5 and swapped != text[place : place + 2]:
        return text[:place] + swapped + text[place + 2 :]
    return text[:place] + text[place + 1 :]


def translate_app(text: str, draw: random.Random) -> str:
    """Call a well-known app by its name in the other language."""
    return _CHINESE.get(text) or _ENGLISH.get(text.casefold(), text)


PERTURBATIONS: Mapping[str, Perturbation] = {
    "case": Perturbation((lower, upper)),
    "spacing": Perturbation((double_spaces, space_before_marks, no_space_after_marks)),
    "full-width": Perturbation((full_width,)),
    "emoji": Perturbation((add_emoji,), on_names=False),
    "typo": Perturbation((add_typo,), on_names=False),
    "app-name": Perturbation((translate_app,), on_texts=False),
}


def perturb(kind: str, example: Example, seed: int = 0) -> Example | None:
    """Change an example in this way; None where that leaves it as it was.

    Raises:
        KeyError: there is no such kind.
    """
    perturbation = PERTURBATIONS[kind]
    draw = random.Random("\n".join([str(seed), kind, *example.inputs.values()]))
    for way in draw.sample(perturbation.ways, len(perturbation.ways)):
        inputs = {
            name: way(text, draw)
            if (perturbation.on_names if name in NAME_INPUTS else perturbation.on_texts)
            else text
            for name, text in example.inputs.items()
        }
        if inputs != dict(example.inputs):
            return replace(example, inputs=inputs)
    return None


def perturb_some(kind: str, examples: Sequence[Example], most: int, seed: int = 0) -> list[Example]:
    """Draw examples and change them in this way; at most so many, fewer where it applies to few.

    An example keeps its id, by which its answer is held against that to the original.
    """
    found: list[Example] = []
    for example in draw_examples(examples, len(examples), seed):
        changed = perturb(kind, example, seed)
        if changed is not None:
            found.append(changed)
        if len(found) == most:
            break
    return found


def draw_examples(examples: Sequence[Example], most: int, seed: int = 0) -> list[Example]:
    """Draw examples by their ids and the seed alone: a row added elsewhere moves no other."""

    def rank(example: Example) -> bytes:
        return hashlib.sha256(f"{seed}:{example.id}".encode()).digest()

    return sorted(examples, key=rank)[:most]


def reorder_values(task: Task, examples: Sequence[Example]) -> tuple[Task, list[Example]]:
    """List the values of every field that is no scale in the opposite order.

    Returns:
        The task, and the examples with their label sets in its order. A task of nothing but
        scales comes back as it was.
    """
    fields = {name: _reversed(field) for name, field in task.fields.items()}
    # Built anew rather than copied: a copy would keep the values it has looked up.
    parts = {name: getattr(task, name) for name in type(task).model_fields}
    reordered = Task(**parts | {"fields": fields})
    changed = [
        replace(
            example,
            labels={
                n: _in_order(label, reordered.fields[n]) for n, label in example.labels.items()
            },
        )
        for example in examples
    ]
    return reordered, changed


def _reversed(field: Field) -> Field:
    if field.kind is FieldKind.ORDINAL:
        return field
    parts = {name: getattr(field, name) for name in type(field).model_fields}
    return Field(**parts | {"values": field.values[::-1]})


def _in_order(label: Label, field: Field) -> Label:
    if not isinstance(label, tuple):
        return label
    return tuple(str(value) for value in field.labels if value in label)
