"""From a capture to what nerfstudio trains on: `dataparser.py` makes cameras and lens values in model units,
`dataset.py` loads pictures and truths, `datamanager.py` deals them out, `split.py` and `sampler.py` think in poses.

Nothing is imported here: the dataparser is loaded while nerfstudio's own registry is being imported.
"""
