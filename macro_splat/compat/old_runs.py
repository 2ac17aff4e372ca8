"""Names that runs of older versions hold in config.yml and in checkpoints, and what they are called now.

A run is loaded by its names: where a release renames one, the old one goes here. Can go when no run of that version is
to be opened any more.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

CLASSES = {
    # 0.1.0
    "macro_splat.data.datamanager.MacroRigDataManager": "macro_splat.data.datamanager.MacroDataManager",
    "macro_splat.data.datamanager.MacroRigDataManagerConfig": "macro_splat.data.datamanager.MacroDataManagerConfig",
    "macro_splat.data.dataparser.MacroRigDataParser": "macro_splat.data.dataparser.MacroDataParser",
    "macro_splat.data.dataparser.MacroRigDataParserConfig": "macro_splat.data.dataparser.MacroDataParserConfig",
    "nerfstudio.pipelines.base_pipeline.VanillaPipeline": "macro_splat.pipeline.MacroSplatPipeline",
    "nerfstudio.pipelines.base_pipeline.VanillaPipelineConfig": "macro_splat.pipeline.MacroSplatPipelineConfig",
}
"""Dotted names of classes, within configs of this method."""
OPTIONS = {
    # 0.1.0
    ("MacroSplatModelConfig", "num_seeds"): "num_init_gaussians",
    ("DefocusConfig", "crisp_weight"): "binarization_weight",
    ("DefocusConfig", "clipped_noise"): "sensor_noise",
}
"""Options by the class that has them, under its new name, and their old name."""
PARAMETER_PREFIXES = {
    # 0.1.0
    "_model.head.": "_model.blur_model.",
}
"""Beginnings of the names of a checkpoint's tensors."""


def with_new_parameter_names(state: Mapping[str, Any]) -> dict[str, Any]:
    """Return a pipeline's tensors by the names that they have now."""
    renamed = {}
    for name, value in state.items():
        for old, new in PARAMETER_PREFIXES.items():
            if name.startswith(old):
                name = new + name.removeprefix(old)
        renamed[name] = value
    return renamed
