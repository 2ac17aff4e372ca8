"""config.yml of other versions: their names are known, or the one line that refuses them says which version it was."""

from __future__ import annotations

from pathlib import Path

import pytest

from macro_splat.compat.old_runs import CLASSES, OPTIONS, with_new_parameter_names
from macro_splat.errors import MacroSplatError
from macro_splat.training.config_file import read_config
from macro_splat.training.record import write_record

HEAD = "!!python/object:macro_splat.training.trainer.MacroSplatTrainerConfig\nmethod_name: macro-splat\n"
OLD_MODEL = """pipeline: !!python/object:nerfstudio.pipelines.base_pipeline.VanillaPipelineConfig
  _target: !!python/name:nerfstudio.pipelines.base_pipeline.VanillaPipeline ''
  datamanager: !!python/object:macro_splat.data.datamanager.MacroRigDataManagerConfig
    _target: !!python/name:macro_splat.data.datamanager.MacroRigDataManager ''
  model: !!python/object:macro_splat.model.macro_splat_model.MacroSplatModelConfig
    num_seeds: 77
    defocus: !!python/object:macro_splat.defocus.config.DefocusConfig {crisp_weight: 0.125, clipped_noise: false}
"""


def test_names_of_0_1_0_are_known(tmp_path: Path) -> None:
    (tmp_path / "config.yml").write_text(HEAD + OLD_MODEL)
    pipeline = read_config(tmp_path / "config.yml").pipeline
    assert type(pipeline).__name__ == "MacroSplatPipelineConfig"
    assert type(pipeline.datamanager).__name__ == "MacroDataManagerConfig"
    assert pipeline.model.num_init_gaussians == 77
    assert (pipeline.model.defocus.binarization_weight, pipeline.model.defocus.sensor_noise) == (0.125, False)


def test_what_another_version_knew_is_refused_by_its_number(tmp_path: Path) -> None:
    (tmp_path / "config.yml").write_text(HEAD + "no_such_option: 3\n")
    with pytest.raises(MacroSplatError, match=r"no option 'no_such_option'; .* of another version: train again"):
        read_config(tmp_path / "config.yml")
    write_record(tmp_path, seconds=1.0, steps=1, gaussians=1, device="cpu")
    record = tmp_path / "training.json"
    record.write_text(record.read_text().replace('"macro-splat": "', '"macro-splat": "0.0.9+'))
    with pytest.raises(MacroSplatError, match=r"of another version \(macro-splat 0\.0\.9\+.* made it\): train again"):
        read_config(tmp_path / "config.yml")


def test_old_names_lead_to_names_that_are_there() -> None:
    for new in CLASSES.values():
        module, _, name = new.rpartition(".")
        assert hasattr(__import__(module, fromlist=[name]), name), new
    fields = {name for _, name in OPTIONS} & set(OPTIONS.values())
    assert not fields, "an old name that is a new one as well"


def test_old_names_of_tensors() -> None:
    state = {"_model.head.lens.focus_offset_px": 1, "_model.gauss_params.means": 2}
    assert with_new_parameter_names(state) == {
        "_model.blur_model.lens.focus_offset_px": 1,
        "_model.gauss_params.means": 2,
    }
