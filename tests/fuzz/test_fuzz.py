"""A slice of the fuzzing: the same mutated files each time, and hypothesis shrinks what fails."""

from __future__ import annotations

from pathlib import Path
from random import Random

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from macro_splat.errors import MacroSplatError
from tests.fuzz import oracle
from tests.fuzz.oracle import judge
from tests.fuzz.parsers import Parser, make_parsers
from tests.fuzz.run import fuzz

# fmt: off
NAMES = ["capture", "points", "rig", "rig-text", "exif", "photograph", "depth", "config", "record", "state", "figures"]
# fmt: on
INPUTS = 1500
SETTINGS = settings(
    max_examples=100,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.large_base_example],
)
pytestmark = pytest.mark.filterwarnings("ignore::UserWarning", "ignore::RuntimeWarning")


@pytest.fixture(scope="module")
def parsers(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Parser]:
    return make_parsers(tmp_path_factory.mktemp("fuzz"))


def test_no_parser_is_left_out(parsers: dict[str, Parser]) -> None:
    assert sorted(parsers) == sorted(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_the_seeds_are_valid(parsers: dict[str, Parser], name: str) -> None:
    parser = parsers[name]
    for i, seed in enumerate(parser.seeds):
        if (name, i) != ("rig-text", 1):  # the documentation, which shows what excludes each other side by side
            assert parser.judge(seed), (name, i)


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_mutated_files(parsers: dict[str, Parser], name: str) -> None:
    failures: dict[str, tuple[bytes, str]] = {}
    accepted = fuzz(parsers[name], INPUTS, 20_240, failures)
    assert not failures, "\n".join(text for _, text in failures.values())
    assert accepted > 0, "the mutations are so wild that none is read to its end"


@pytest.mark.parametrize("name", NAMES)
def test_files_that_hypothesis_mutates(parsers: dict[str, Parser], name: str) -> None:
    parser = parsers[name]

    @SETTINGS
    @given(seed=st.sampled_from(parser.seeds), random=st.randoms(use_true_random=False))
    def feed(seed: bytes, random: Random) -> None:
        parser.judge(parser.mutate(seed, random))

    feed()


@pytest.mark.parametrize("name", NAMES)
def test_any_bytes(parsers: dict[str, Parser], name: str) -> None:
    parser = parsers[name]

    @SETTINGS
    @given(data=st.binary(max_size=300))
    def feed(data: bytes) -> None:
        parser.judge(data)

    feed()


def test_the_oracle_sees_what_it_must(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuses(message: str):
        def parse(_: Path) -> None:
            raise MacroSplatError(message)

        return parse

    file = tmp_path / "file"
    assert judge(lambda _: None, file, b"")
    assert not judge(refuses("one line"), file, b"")
    for bad in (refuses("two\nlines"), refuses(""), refuses("x" * 5000), lambda _: (tmp_path / "new").write_text("")):
        with pytest.raises(AssertionError):
            judge(bad, file, b"")
    with pytest.raises(ZeroDivisionError):
        judge(lambda _: 1 // 0, file, b"")
    peaks = iter([1000.0, 1600.0])
    monkeypatch.setattr(oracle, "peak_megabytes", lambda: next(peaks))
    with pytest.raises(AssertionError, match="600 MB"):
        judge(lambda _: None, file, b"")
