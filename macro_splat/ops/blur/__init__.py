"""Blur by discs whose radius differs from pixel to pixel, as a lens out of focus makes it.

`disc` has the disc's weights and the blur of one layer, in plain torch; `layered` is what a picture is blurred with,
two `layers` at the edges between surfaces, with its kernels in `layered_cpu`. `nearest` carries values to the pixels
that have none, with its kernels in `nearest_cpu`.
"""
