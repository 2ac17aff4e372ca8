"""Known ways to model defocus, as blur models of the same training, to compare with: written from their descriptions.

`pixel_kernel.py` free kernels per pixel (BAGS), `covariance.py` Gaussians that a network widens (Deblurring-3DGS),
`coc.py` a Gaussian per pixel by the circle of confusion (macro deblurring, DoF-Gaussian).
"""
