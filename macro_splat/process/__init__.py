"""`macro-splat process`, stage by stage: `pipeline.py` has the order, `settings.py` the options."""
