"""Operations on images: tensors in, tensors out, nothing known of models, captures or nerfstudio.

`rasterizer` draws Gaussians, `blur` blurs pictures by discs, `ssim` compares them, `srgb` is the transfer curve; each
with plain torch beside its kernels for processors, which are compiled when they are first called. In one file each:
`extrema` largest and smallest neighbours, `resize` large photographs made smaller, `pinhole` where a camera sees
points, `color_maps` numbers as colours.
"""
