"""Ways to model the blur, trained side by side on the same captures and judged alike.

`modes.py` lists what is compared, `plan.py` turns captures, modes and variants into runs, `run.py` is the program of
one run (train, judge, write), `judge.py` its judging; `suite.py` does all runs and resumes; `tables.py` and `page.py`
show the results.
"""
