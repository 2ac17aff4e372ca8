"""`macro-splat process`, stage by stage: `run.py` has the order, `config.py` the options."""
