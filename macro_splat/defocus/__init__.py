"""The optics: the thin-lens law, the lens of every view, and how both are found from blurry photographs.

`thin_lens` the law; `per_view_lens` the lenses that a training learns, `virtual_lens` one of one's own; `image_blur`
blurs a rendered picture by the law, `kernel` gives the blur of one pixel as numbers; `blur_models` and `baselines` are
the ways to model the blur, `modes` makes one of them by a `config`; `blur_net` is what a real lens adds to the law.
`estimate` finds the lenses before a training, `search` during it.

Stands on torch and numpy, and `estimate` on scipy; nothing here knows nerfstudio.
"""

from macro_splat.defocus.per_view_lens import Origin, PerViewLens

__all__ = ["Origin", "PerViewLens"]
