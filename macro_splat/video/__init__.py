"""Films of a trained model: `path.py` where the camera goes, `views.py` what it sees, `films.py` the films themselves,
`writers.py` how they come to the disk.
"""
