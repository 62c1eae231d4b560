"""Write a home with 1,000 videos of all four providers, the same on every call. Imports nothing of the package, so that
the recordings of its steps hold while the package changes."""

from __future__ import annotations

import base64
import csv
import io
import json
import struct
import zlib
from pathlib import Path
from random import Random
from typing import Any, Final

COUNT: Final = 1000
IN_THE_SHEET: Final = 120  # of them stand in catalog.csv
HOPS: Final = 5

_PROMPTS: Final = (
    "the fog lifts",
    "  spaces around  ",
    "晨雾散去，港口醒来",
    "Туман рассеивается над гаванью",
    "يرتفع الضباب",
    "अचानक बारिश",
    "cafe\u0301 au lait",
    "caf\u00e9 au lait",
    "\uac00\ub098 \u1100\u1161\u1102\u1161",
    "a 👩‍🚀 waves 🌊",
    "first line\nsecond line",
    "first line\r\nsecond line",
    'she says "go" \\ and {goes}: #1',
    "yes",
    "1.0",
    "null",
    "ﬁne ligature ½",
    "tab\tinside",
    "x" * 1200,
)
_KEYS: Final = ("harbour", "港口晨曦", "гавань", "ميناء", "cafe\u0301", "caf\u00e9", "각본", "ａｂｃ", "A.b_c-", "नमस्ते")
_ACCOUNTS: Final = """
defaults: {proxy: none}
accounts:
  - {name: kling-a, provider: kling, base_url: "https://api-singapore.klingai.com", budget: {per_day: 9, total: 99},
     credentials: {access_key_env: GOLDEN_A, secret_key_env: GOLDEN_S}}
  - {name: 可灵, was: kling-old, provider: kling, base_url: "https://api-beijing.klingai.com",
     credentials: {api_key_env: GOLDEN_K}, budget: {per_day: 9, total: 99}, submit_class: C, extend: {tolerance: 1}}
  - {name: gate-all, provider: kling-gateway, base_url: "https://api.reseller.example.com",
     credentials: {api_key_env: GOLDEN_G}, budget: {per_day: 9, total: 99},
     passes: [task_id, negative_prompt, cfg_scale, watermark, external_task_id],
     price: {unit: credit, per_extension: {std: 1, pro: 2}, unit_price: 0.1, currency: USD}}
  - {name: gate-none, provider: kling-gateway, base_url: "https://api.reseller.example.com", path_prefix: /k,
     credentials: {api_key_env: GOLDEN_G}, budget: {per_day: 9, total: 99},
     price: {unit: credit, per_extension: 1, unit_price: 0.1, currency: USD}}
  - {name: vidu-a, provider: vidu, base_url: "https://api.modelverse.cn", credentials: {api_key_env: GOLDEN_V},
     budget: {per_day: 9, total: 99}}
  - {name: luma-a, provider: luma, base_url: "https://api.reseller.example.com", credentials: {api_key_env: GOLDEN_L},
     budget: {per_day: 9, total: 99}, price: {unit: credit, per_extension: 4, unit_price: 0.1, currency: USD}}
  - {name: luma-b, was: "-luma...old", provider: luma, base_url: "https://api.reseller.example.com", output: segment,
     credentials: {api_key_env: GOLDEN_L}, budget: {per_day: 9, total: 99}, path_prefix: /lu/ma,
     price: {unit: credit, per_extension: 4, unit_price: 0.1, currency: USD}}
"""

Entry = dict[str, Any]


class Plain(str):
    """A value that is written into YAML as it is, without quotes."""


def write_home(home: Path) -> bytes:
    """Write accounts.yaml, catalog.yaml, catalog.csv and the pictures beside them; return all their bytes."""
    made = entries()
    sheet = [entry for entry in made if not isinstance(entry["source"].get("branch_of"), str)][-IN_THE_SHEET:]
    in_sheet = {entry["key"] for entry in sheet}
    files = {f"frames/{number}.png": _picture(number) for number in range(4)}
    files["accounts.yaml"] = _ACCOUNTS.encode()
    rest = [entry for entry in made if entry["key"] not in in_sheet]
    files["catalog.yaml"] = ("videos:\n" + "".join(map(_as_yaml, rest))).encode()
    files["catalog.csv"] = _as_csv(sheet).encode()
    for name, content in files.items():
        path = home / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    return b"\0".join(files[name] for name in sorted(files))


def entries() -> list[Entry]:
    """Return the entries as a user writes them; branches follow the videos that they branch off."""
    random = Random(20261128)
    made: list[Entry] = []
    for number in range(COUNT):
        key = f"{_KEYS[number % len(_KEYS)]}{number}"
        parents = [entry for entry in made[-40:] if "steps" in entry["extend"]]
        entry: Entry = {"key": key}
        if parents and random.random() < 0.2:
            parent = random.choice(parents)
            account = parent["_account"]
            hop = random.randint(1, min(int(parent["extend"]["steps"]), 3))
            entry |= {"_account": account, "source": {"branch_of": parent["key"], "hop": hop}, "_v1": parent["_v1"]}
        else:
            account = random.choice(
                ("kling-a", "可灵", "gate-all", "gate-none", "vidu-a", "vidu-a", "luma-a", "luma-b")
            )
            entry |= {"_account": account, "account": account, "source": _source(random, account, number)}
            entry["_v1"] = entry["source"].get("model") in ("kling-v1-0", "V1")
        entry["extend"] = _extend(random, account, v1=entry["_v1"], branch="account" not in entry)
        if random.random() < 0.1:
            entry["was"] = random.choice((f"old{number}", f"-old...{number}", f"旧{number}"))
        if random.random() < 0.05:
            entry["again"] = True
        made.append(entry)
    return [{name: value for name, value in entry.items() if name[0] != "_"} for entry in made]


def _source(random: Random, account: str, number: int) -> Entry:
    if account.startswith("vidu"):
        signed = random.choice(("", "", f"?X-Amz-Signature=ab{number}&X-Amz-Expires=60", f"?token={number}&size=2"))
        host = random.choice(("media.example.com", "MEDIA.example.com", "media.example.com:8443"))
        url = f"https://{host}/walk-{number}/{random.choice(('a', 'a~b', '%E4', 'a%20b'))}.mp4{signed}"
        return {"video_url": url} | random.choice(({}, {"duration": Plain(random.choice(("4", "5.1", "7.250")))}))
    generation = f"{random.getrandbits(32):08x}-7641-4809-a133-{random.getrandbits(48):012x}"
    digits = str(random.randint(10**17, 10**18 - 1) | 1)
    identity: str = random.choice(
        (Plain(digits), digits, generation, f"'{digits}", f'="{digits}"', Plain(f"00{digits}"))
    )
    exact = {}
    if random.random() < 0.1:
        identity, exact = Plain(digits[:15] + "000"), {"exact": True}
    if account.startswith("luma"):
        return exact | {"task_id": identity} | random.choice(({}, {"duration": Plain("5")}))
    model = random.choice(("kling-v1-0", "V1", "kling-v1-5", "1.6", "kling-v1-6", "kling_v1_6"))
    mode, duration = random.choice(("std", "pro", "Standard")), Plain(random.choice(("5", "5.0", "5.1", "10.041")))
    source: Entry = exact | {"video_id": identity, "model": model, "mode": mode, "duration": duration}
    if random.random() < 0.3:
        source["created_at"] = random.choice(
            (Plain("2026-11-01T08:00:00Z"), Plain("2026-11-02"), Plain("1793520000000"))
        )
    if random.random() < 0.1:
        source["url"] = f"https://cdn.example.com/{number}.mp4?e=1"
    if account == "gate-all":
        source["task_id"] = Plain(str(random.randint(10**17, 10**18 - 1) | 1))
    return source


def _extend(random: Random, account: str, *, v1: bool, branch: bool) -> Entry:
    extend: Entry = {}
    if branch or random.random() < 0.5:  # how long a branch's source is depends on its parent
        extend["steps"] = random.randint(1, 4)
    else:
        extend["to"] = Plain(random.choice(("24", "25.5", "30", "30.0")))
        extend |= random.choice(({}, {"tolerance": Plain("0.25")}, {"at_most": Plain("38")}))
    prompts = random.choice(("one", "one", "many", "none"))
    if prompts == "many":
        extend["prompts"] = random.choices(_PROMPTS, k=random.randint(1, 6))
    elif prompts == "one" or account.startswith("luma"):
        extend["prompt"] = random.choice(_PROMPTS)
    if account.startswith("vidu"):
        extend["model"] = random.choice(("viduq2-turbo", "viduq2-pro"))
        extend["seconds"] = random.randint(3, 7)
        if random.random() < 0.7:
            extend["resolution"] = random.choice(("540p", "720p", "1080P"))
        picture = random.randrange(4)
        last = random.choice((None, f"frames/{picture}.png", f"file:frames/{picture}.png", _uri(picture), _web(random)))
        extend |= {} if last is None else {"last_frame_url": last}
    elif account.startswith("luma"):
        for name in ("image_url", "image_end_url"):
            if random.random() < 0.3:
                extend[name] = random.choice((_uri(random.randrange(4)), _web(random)))
        if random.random() < 0.4:
            extend["expand_prompt"] = random.choice((True, False))
    elif account != "gate-none":
        if not v1 and random.random() < 0.4:
            extend["negative_prompt"] = random.choice(_PROMPTS)
        if not v1 and random.random() < 0.5:
            extend["cfg_scale"] = Plain(random.choice(("0", "1", "0.5", "0.50", "0.333", "1.0", "0.7")))
        if random.random() < 0.4:
            extend["watermark"] = random.choice((True, False, Plain("no"), Plain("on")))
    return extend


def _web(random: Random) -> str:
    return (
        f"https://pictures.example.com/{random.randrange(99)}.png{random.choice(('', '?X-Amz-Signature=1f', '?v=2'))}"
    )


def _uri(number: int) -> str:
    return "data:image/png;base64," + base64.b64encode(_picture(number)).decode()


def _picture(number: int) -> bytes:
    """Return a PNG of one colour."""
    width, height = 8, 6
    rows = zlib.compress(b"".join(b"\0" + bytes((number * 40, 90, 200)) * width for _ in range(height)), 0)

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")


def _as_yaml(entry: Entry) -> str:
    return "".join(f"{'  - ' if name == 'key' else '    '}{name}: {_yaml(value)}\n" for name, value in entry.items())


def _yaml(value: object) -> str:
    if isinstance(value, dict):
        return "{" + ", ".join(f"{name}: {_yaml(item)}" for name, item in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(_yaml, value)) + "]"
    return str(value) if isinstance(value, Plain) else json.dumps(value, ensure_ascii=False)


def _as_csv(rows: list[Entry]) -> str:
    flat = [_flat(entry) for entry in rows]
    text = io.StringIO()
    writer = csv.DictWriter(text, list(dict.fromkeys(name for row in flat for name in row)), lineterminator="\r\n")
    writer.writeheader()
    writer.writerows(flat)
    return text.getvalue()


def _flat(entry: Entry) -> dict[str, str]:
    row: dict[str, str] = {}
    for name, value in entry.items():
        for inner, item in value.items() if isinstance(value, dict) else ((None, value),):
            column = name if inner is None else f"{name}.{inner}"
            row[column] = item if isinstance(item, str) else json.dumps(item, ensure_ascii=False)
    return row
