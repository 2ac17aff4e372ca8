"""nerfstudio loads a run's config.yml with a YAML loader that imports and calls whatever the file names.

`ns-viewer`, `ns-render`, `ns-export`, `ns-eval` and `ns-train --load-config` do (`yaml.load(..., Loader=yaml.Loader)`),
and runs get mailed around. The loader hands documents that are configs of this method to our own reader, which
constructs nothing but config classes (training/config_file.py). Documents of other methods are loaded as ever: what
they need is not ours to say. So a config.yml of unknown origin that claims another method is as dangerous as without
us; the commands of `macro-splat` refuse it.

Can go when nerfstudio reads its configs safely.
"""

from collections.abc import Callable
from typing import Any

import yaml


def install(construct: Callable[[yaml.Node], Any]) -> None:
    """Patch `yaml.Loader`, once.

    Args:
        construct: makes the config of a document of ours.
    """
    if "get_single_data" in vars(yaml.Loader):
        return

    def get_single_data(loader: Any) -> Any:
        root = loader.get_single_node()
        if root is None:
            return None
        return construct(root) if _names_our_method(root) else loader.construct_document(root)

    yaml.Loader.get_single_data = get_single_data  # type: ignore[method-assign]


def _names_our_method(root: yaml.Node) -> bool:
    entries = root.value if isinstance(root, yaml.MappingNode) else []
    return any(key.value == "method_name" and value.value == "macro-splat" for key, value in entries)
