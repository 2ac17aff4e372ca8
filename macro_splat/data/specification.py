"""What the entry point `nerfstudio.dataparser_configs` finds.

nerfstudio loads this while it imports its own list of dataparsers, and an error here breaks every `ns-*` command:
nothing may be imported that leads to its methods, engine or datamanagers.
"""

from nerfstudio.plugins.registry_dataparser import DataParserSpecification

from macro_splat.data.dataparser import MacroDataParserConfig

macro_rig_data = DataParserSpecification(
    config=MacroDataParserConfig(),
    description="Macro captures: poses, and the optics of each view where known, with the metric scale kept.",
)
