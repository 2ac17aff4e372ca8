"""A trained model taken away: splats in world frame and millimetres, a point cloud, a mesh, deblurred photographs.

`gaussians` holds and moves splats, `frame` says where to, `clean` takes off what is no object, `formats` writes files,
`surface` fuses depth maps, `export` and `deblur` are what the commands of these names do.
"""
