"""Vidu through ModelVerse: its fields, its limits, its list price, its accounts."""

from __future__ import annotations

from pathlib import Path

import pytest

from extend_pipeline.config.model.catalogue import root_source
from extend_pipeline.config.model.price import Price
from extend_pipeline.providers.registry import spec_of
from extend_pipeline.providers.vidu.models import ViduAccount, ViduExtend, ViduSource
from extend_pipeline.providers.vidu.prices import PRICE
from extend_pipeline_tests.config.written import (
    account_of,
    entry,
    load,
    only_problem,
    problems_of,
    without_jargon,
    write_home,
)
from extend_pipeline_tests.support.user_texts import check_user_text

URL = "https://media.example.com/robot-walk.mp4"


def home(
    folder: Path,
    *lines: str,
    source: str = f"{{video_url: '{URL}', duration: 5}}",
    extend: str = "{to: 20, model: viduq2-turbo}",
) -> Path:
    """Write a home with one video on one Vidu account."""
    return write_home(folder, entry(source=source, extend=extend, account="vidu"), accounts=account_of("vidu", *lines))


def quote(price: Price, params: dict[str, object]) -> int | None:
    """Return the price of one extension in micro-units, or None."""
    return price.quote(spec_of("vidu").price_key(None, params))


def test_a_video_has_the_documented_defaults(tmp_path: Path) -> None:
    video = load(home(tmp_path, extend="{to: 20, model: viduq2-turbo, prompt: smooth}")).catalogue.videos["one"]
    assert isinstance(video.source, ViduSource)
    assert (video.source.source_id, video.source.duration_ms) == (URL, 5000)
    assert (video.source.mode, video.source.created_at) == (None, None)
    assert video.extend.hop_params(1) == {
        "prompt": "smooth",
        "model": "viduq2-turbo",
        "seconds": 5,
        "resolution": "720p",
    }


def test_an_account_has_its_defaults(tmp_path: Path) -> None:
    account = load(home(tmp_path)).accounts["vidu"]
    assert isinstance(account, ViduAccount)
    assert (account.auth, account.public_media_url, account.output, account.submit_class) == (
        "raw",
        None,
        "unknown",
        "D",
    )
    assert (account.poll.first_after_s, account.poll.every_s) == (10, 5)
    assert (account.price.unit, account.price.currency, account.price.unit_price_micros) == ("CNY", "CNY", 1_000_000)


def test_every_field_of_an_account_is_read(tmp_path: Path) -> None:
    lines = ("auth: Bearer", "public_media_url: https://media.example.com/store/", "output: segment")
    account = load(home(tmp_path, *lines)).accounts["vidu"]
    assert isinstance(account, ViduAccount)
    assert (account.auth, account.output) == ("bearer", "segment")
    assert account.public_media_url == "https://media.example.com/store"


@pytest.mark.parametrize(
    ("model", "resolution", "seconds", "cny"),
    [
        ("viduq2-turbo", "540p", 1, "0.31"),  # 10 credits, 0.3125
        ("viduq2-turbo", "540p", 3, "0.44"),  # 14 credits, 0.4375
        ("viduq2-turbo", "540p", 6, "0.63"),  # 20 credits, 0.625: half up
        ("viduq2-turbo", "720p", 5, "1.09"),  # 35 credits, 1.09375
        ("viduq2-turbo", "1080p", 7, "3.13"),  # 100 credits, 3.125: half up
        ("viduq2-pro", "540p", 5, "1.09"),
        ("viduq2-pro", "720p", 2, "1.25"),  # 40 credits, exactly
        ("viduq2-pro", "1080p", 1, "1.88"),  # 60 credits, 1.875: half up
        ("viduq2-pro", "1080p", 7, "4.69"),  # 150 credits, 4.6875
    ],
)
def test_the_list_price_is_by_model_resolution_and_seconds(model: str, resolution: str, seconds: int, cny: str) -> None:
    params = {"model": model, "resolution": resolution, "seconds": seconds, "prompt": "x"}
    assert quote(PRICE, params) == round(float(cny) * 1_000_000)


def test_an_unknown_price_is_none() -> None:
    assert quote(PRICE, {}) is None
    assert quote(PRICE, {"model": "viduq2-pro", "resolution": "720p"}) is None
    assert quote(PRICE, {"model": "viduq3", "resolution": "720p", "seconds": 5}) is None


def test_a_price_by_model_is_that_of_all_its_calls_unless_one_has_its_own() -> None:
    own = {"viduq2-pro": 4, "viduq2-pro/720p": 3, "viduq2-pro/720p/1": 2}
    price = Price(unit="CNY", per_extension_micros=own, unit_price_micros=1_000_000, currency="CNY")

    def quoted(resolution: str, seconds: int, model: str = "viduq2-pro") -> int | None:
        return quote(price, {"model": model, "resolution": resolution, "seconds": seconds})

    assert [quoted("720p", 1), quoted("720p", 2), quoted("540p", 1)] == [2, 3, 4]
    assert quoted("720p", 1, "viduq2-turbo") is None


def test_a_price_list_without_the_call_that_a_video_makes_is_refused(tmp_path: Path) -> None:
    price = "price: {unit: CNY, per_extension: {viduq2-turbo/540p: 1}, unit_price: 1, currency: CNY}"
    problem = only_problem(home(tmp_path, price))
    assert (problem.file, problem.field) == ("accounts.yaml", "price.per_extension")
    check_user_text(problem.text())


@pytest.mark.parametrize("key", ["std", "viduq2-turbo/720", "viduq2-turbo/720p/8"])
def test_a_price_for_what_vidu_does_not_sell_is_refused(tmp_path: Path, key: str) -> None:
    price = f"price: {{unit: CNY, per_extension: {{viduq2-turbo: 1, {key}: 1}}, unit_price: 1, currency: CNY}}"
    problem = only_problem(home(tmp_path, price))
    assert problem.field == f"price.per_extension.{key}"
    check_user_text(problem.text())


@pytest.mark.parametrize(
    ("extend", "field"),
    [
        ("{to: 20}", "extend.model"),
        ("{to: 20, model: viduq3}", "extend.model"),
        ("{to: 20, model: viduq2-pro, seconds: 0}", "extend.seconds"),
        ("{to: 20, model: viduq2-pro, seconds: 8}", "extend.seconds"),
        ("{to: 20, model: viduq2-pro, seconds: 2.5}", "extend.seconds"),
        ("{to: 20, model: viduq2-pro, resolution: 4k}", "extend.resolution"),
        (f"{{to: 20, model: viduq2-pro, prompt: {'x' * 2001}}}", "extend.prompt"),
        (f"{{to: 20, model: viduq2-pro, prompts: [a, {'x' * 2001}]}}", "extend.prompts.2"),
        ("{to: 68, model: viduq2-pro}", "extend.to"),
        ("{to: 5, model: viduq2-pro}", "extend.to"),
        ("{steps: 64, model: viduq2-pro, seconds: 1}", "extend.steps"),
        ("{steps: 13, model: viduq2-pro}", "extend.steps"),
        ("{to: 20, model: viduq2-pro, cfg_scale: 1}", "extend.cfg_scale"),
        ("{to: 20, model: viduq2-pro, image_url: x}", "extend.image_url"),
        ("{to: 20, model: viduq2-pro, last_frame: x}", "extend.last_frame"),
    ],
)
def test_an_invalid_extend_is_refused(tmp_path: Path, extend: str, field: str) -> None:
    problem = only_problem(home(tmp_path, extend=extend))
    assert (problem.file, problem.line, problem.subject, problem.field) == ("catalog.yaml", 4, "one", field)
    check_user_text(problem.text())
    assert without_jargon(problem.text())


def test_steps_are_counted_with_the_seconds_of_the_entry(tmp_path: Path) -> None:
    extend = "{steps: 62, model: viduq2-pro, seconds: 1}"
    assert load(home(tmp_path, extend=extend)).notes == ()


@pytest.mark.parametrize(
    ("source", "field"),
    [
        ("{duration: 5}", "source.video_url"),
        (f"{{video_url: '{URL}', duration: 3.9}}", "source.duration"),
        (f"{{video_url: '{URL}', duration: 60.1}}", "source.duration"),
        ("{video_url: robot.mp4}", "source.video_url"),
        ("{video_url: 'ftp://media.example.com/a.mp4'}", "source.video_url"),
        ("{video_url: 'http://127.0.0.1/a.mp4'}", "source.video_url"),
        ("{video_url: 'https://10.0.0.8/a.mp4'}", "source.video_url"),
        (f"{{video_url: '{URL}', video_id: 7}}", "source.video_id"),
        (f"{{video_url: '{URL}', mode: std}}", "source.mode"),
    ],
)
def test_an_invalid_source_is_refused(tmp_path: Path, source: str, field: str) -> None:
    problem = only_problem(home(tmp_path, source=source))
    assert (problem.line, problem.subject, problem.field) == (3, "one", field)
    check_user_text(problem.text())
    assert without_jargon(problem.text())


def test_a_signed_address_is_not_repeated_in_an_error(tmp_path: Path) -> None:
    problem = only_problem(home(tmp_path, source="{video_url: 'http://10.0.0.8/a.mp4?signature=hush'}"))
    assert "hush" not in f"{problem.text()}{problem!r}"


def test_the_length_of_a_source_may_be_left_to_be_measured(tmp_path: Path) -> None:
    leaf = entry("leaf", source="{branch_of: one, hop: 2}", extend="{to: 12, model: viduq2-pro}", account=None)
    path = home(tmp_path, source=f"{{video_url: '{URL}'}}", extend="{to: 4, model: viduq2-turbo}")
    with (path / "catalog.yaml").open("a") as file:
        file.write(leaf)
    read = load(path).catalogue
    assert root_source(read.videos["leaf"], read.videos).duration_ms is None


def test_the_start_of_a_branch_is_computed_with_its_parents_seconds(tmp_path: Path) -> None:
    # two hops of 3 s from 5 s are 11 s, no more and no less
    path = home(tmp_path, extend="{to: 20, model: viduq2-pro, seconds: 3}")
    with (path / "catalog.yaml").open("a") as file:
        for key, to in (("good", 12), ("bad", 11)):
            branch = entry(
                key, source="{branch_of: one, hop: 2}", extend=f"{{to: {to}, model: viduq2-pro}}", account=None
            )
            file.write(branch)
    problem = only_problem(path)
    assert problem.subject == "bad"
    check_user_text(problem.text())


def test_local_accounts_may_use_local_addresses(tmp_path: Path) -> None:
    source = "{video_url: 'http://127.0.0.1:8123/a.mp4', duration: 5}"
    extend = "{to: 20, model: viduq2-pro, last_frame_url: 'http://127.0.0.1:8123/a.png'}"
    local = ("allow_local: true", "public_media_url: 'http://localhost:9/store'")
    assert load(home(tmp_path / "local", *local, source=source, extend=extend)).catalogue.videos
    fields = [problem.field for problem in problems_of(home(tmp_path / "real", source=source, extend=extend))]
    assert fields == ["source.video_url", "extend.last_frame_url"]


@pytest.mark.parametrize(
    ("line", "field"),
    [
        ("auth: basic", "auth"),
        ("output: half", "output"),
        ("submit_class: A", "submit_class"),
        ("public_media_url: /mnt/store", "public_media_url"),
        ("public_media_url: http://192.168.1.2/store", "public_media_url"),
        ("public_media_url: https://media.example.com/?key=hush", "public_media_url"),
        ("passes: []", "passes"),
    ],
)
def test_an_invalid_account_is_refused(tmp_path: Path, line: str, field: str) -> None:
    problem = only_problem(home(tmp_path, line))
    assert (problem.file, problem.subject, problem.field) == ("accounts.yaml", "vidu", field)
    check_user_text(problem.text())
    assert "hush" not in problem.text()
    assert without_jargon(problem.text())


def test_a_table_may_have_vidus_columns(tmp_path: Path) -> None:
    table = (
        "key,account,source.video_url,source.duration,extend.to,extend.model,extend.seconds,extend.last_frame_url\n"
        f"one,vidu,{URL},5,20,viduq2-pro,3,https://media.example.com/a.png\n"
    )
    read = load(write_home(tmp_path, table=table, accounts=account_of("vidu"))).catalogue.videos["one"].extend
    assert isinstance(read, ViduExtend)
    assert read.hop_params(2) == {
        "model": "viduq2-pro",
        "seconds": 3,
        "resolution": "720p",
        "last_frame_url": "https://media.example.com/a.png",
    }


def test_the_registry_has_vidus_limits() -> None:
    vidu = spec_of("vidu")
    assert (vidu.source_range_ms, vidu.longest_ms, vidu.modes) == ((4_000, 60_000), 67_000, ())
    assert vidu.added_ms(None) == (1_000, 7_000)
    assert (vidu.source_life_ms, vidu.result_life_ms) == (None, 86_400_000)
