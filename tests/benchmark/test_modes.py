"""Modes and variants: what they set, and names that do not exist."""

import copy
from typing import get_args

import pytest

from macro_splat.benchmark.config import BenchmarkConfig
from macro_splat.benchmark.modes import ABLATIONS, MODE_KEY, MODES, VARIANTS, apply_overrides, choose
from macro_splat.defocus.config import Mode
from macro_splat.errors import MacroSplatError
from macro_splat.method import macro_splat


@pytest.mark.parametrize("mode", [*MODES, *ABLATIONS], ids=lambda mode: mode.name)
def test_every_override_names_something_that_is_there(mode) -> None:
    config = copy.deepcopy(macro_splat.config)
    apply_overrides(config, mode.overrides_for(3000))
    assert config.pipeline.model.defocus.mode == mode.overrides[MODE_KEY]  # type: ignore[attr-defined]


@pytest.mark.parametrize("variant", VARIANTS, ids=lambda variant: variant.name)
def test_every_variant_names_something_that_is_there(variant) -> None:
    apply_overrides(copy.deepcopy(macro_splat.config), variant.overrides)


def test_every_way_to_model_the_blur_can_be_compared() -> None:
    assert {mode.overrides[MODE_KEY] for mode in MODES} == set(get_args(Mode))
    assert BenchmarkConfig.modes == tuple(mode.name for mode in MODES)


def test_every_ablation_differs_from_our_default() -> None:
    (image,) = choose("modes", MODES, ["image"])
    settings = set()
    for mode in (image, *ABLATIONS):
        config = copy.deepcopy(macro_splat.config)
        apply_overrides(config, mode.overrides_for(3000))
        settings.add(repr(config))
    assert len(settings) == 1 + len(ABLATIONS)


def test_overrides_reach_attributes_and_dictionaries() -> None:
    config = copy.deepcopy(macro_splat.config)
    apply_overrides(config, {"optimizers.means.optimizer.lr": 0.5, "max_num_iterations": 7})
    assert config.optimizers["means"]["optimizer"].lr == 0.5
    assert config.max_num_iterations == 7


@pytest.mark.parametrize("path", ["pipeline.model.defocus.mood", "optimizers.meanz", "pipelines.model"])
def test_a_misspelt_override_is_an_error(path: str) -> None:
    with pytest.raises((KeyError, AttributeError)):
        apply_overrides(copy.deepcopy(macro_splat.config), {path: 1})


def test_coarse_to_fine_follows_the_length_of_the_training() -> None:
    (mode,) = choose("modes", MODES, ["pixel-kernel"])
    assert mode.overrides_for(1000)["pipeline.model.resolution_schedule"] == 200
    assert mode.overrides_for(1)["pipeline.model.resolution_schedule"] == 1


def test_choosing_keeps_the_known_order() -> None:
    assert [mode.name for mode in choose("modes", MODES, ["oracle", "off", "off"])] == ["off", "oracle"]


def test_unknown_names_are_told_with_the_known_ones() -> None:
    with pytest.raises(MacroSplatError, match=r"--modes blurry: there are these: off, splat"):
        choose("modes", MODES, ["off", "blurry"])
    with pytest.raises(MacroSplatError, match="given, unknown, noisy"):
        choose("variants", VARIANTS, [])
