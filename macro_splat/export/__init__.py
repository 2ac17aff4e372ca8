"""A trained model taken away: splats in world frame and millimetres, a point cloud, a mesh, deblurred photographs.

`config` holds the options of the commands, `export` and `deblur` do what they say, `formats` writes files, `surface`
fuses depth maps. What splats are, and how they are moved and cleaned, stands in `macro_splat.runs`.
"""
