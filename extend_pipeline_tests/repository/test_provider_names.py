"""No module outside a provider's own folders knows a provider by its name."""

from __future__ import annotations

import io
import re
import tokenize
from collections.abc import Iterator
from pathlib import Path

import pytest

import extend_pipeline
from extend_pipeline.providers.registry import PROVIDERS
from extend_pipeline_tests.faults import upstream
from extend_pipeline_tests.support.home import every_provider

PACKAGE = Path(extend_pipeline.__file__).parent
OWN = (
    "providers/registry.py",
    "sandbox/surfaces.py",
    "sandbox/config.py",
    "sandbox/__init__.py",
    "config/examples/",
    "ledger/migrations/",
)
"""Besides each provider's folders: the registries, the examples, and the names in stored rows."""

BRANDS = {spec.name.partition("-")[0] for spec in PROVIDERS} | {"modelverse"}
PARTS = re.compile(r"[A-Z]?[a-z]+|[A-Z]+")
# a whole word: account names, units, hosts, paths and variables of examples may begin with one
WORDS = "|".join(sorted({*BRANDS, *map(str.title, BRANDS), *(spec.name for spec in PROVIDERS), "ModelVerse"}))
WORD = re.compile(rf"(?<![\w/*.-])({WORDS})(?![\w-])")
EXAMPLES = {("commands/demo/sandbox.py", '"    provider: kling"')}
"""Text that shows the user how an account is written."""


def named(path: Path, text: str) -> Iterator[str]:
    relative = path.relative_to(PACKAGE).as_posix()
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type == tokenize.NAME:
            brands = BRANDS & {part.lower() for part in PARTS.findall(token.string)}
        else:
            brands = set(WORD.findall(token.string))
        if brands and (relative, token.string) not in EXAMPLES:
            yield f"{relative}:{token.start[0]}: {', '.join(sorted(brands))}"


def folders() -> set[str]:
    return {f"{part}/{spec.name.replace('-', '_')}/" for part in ("providers", "sandbox") for spec in PROVIDERS}


def test_no_provider_is_named_outside_its_own_folders() -> None:
    own = (*OWN, *folders())
    modules = [path for path in PACKAGE.rglob("*.py") if not path.relative_to(PACKAGE).as_posix().startswith(own)]
    assert len(modules) > 300
    assert [place for path in modules for place in named(path, path.read_text("utf-8"))] == []


def test_the_suites_that_spend_know_every_provider() -> None:
    names = sorted(spec.name for spec in PROVIDERS)
    assert sorted(upstream.PROVIDERS) == names, "the matrix of kills and faults"
    assert sorted([*every_provider.OTHERS, "kling"]) == names, "chains, doubt and crashes"


@pytest.mark.parametrize(
    "line", ['if provider == "kling":', "import extend_pipeline.providers.vidu", "# as with Luma", "ViduAccount()"]
)
def test_a_name_is_noticed(line: str) -> None:
    assert list(named(PACKAGE / "engine" / "made_up.py", line + "\n"))


@pytest.mark.parametrize("line", ['"api.klingai.com"', '"kling-main"', "# docs/upstream/kling.md", '"viduq2-pro"'])
def test_an_example_is_no_name(line: str) -> None:
    assert not list(named(PACKAGE / "engine" / "made_up.py", line + "\n"))
