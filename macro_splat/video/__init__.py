"""Films of a trained model: `config.py` the options, `render.py` from them to the file, `path.py` where the camera
goes, `lenses.py` through which lens it sees, `films.py` the films themselves, `writers.py` how they come to the disk.
"""
