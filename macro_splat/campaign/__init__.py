"""Many specimens on many machines: photographs to report, for each on its own, scheduled by Ray.

Reading order: `specimen.py`, `stages.py` (what is done for one), `attempt.py` and `supervisor.py` (how, on a worker),
`driver.py` (who is next), `page.py` (what came of it). Only `ray_cluster.py` and `driver.py` know Ray.
"""
