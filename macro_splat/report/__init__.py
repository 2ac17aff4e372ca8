"""Pages that need nothing but themselves: what a capture is worth and will suffer from, and what a training made of it.

`page.py` is the shell that all pages share; `capture_report.py` and `training_report.py` gather what the two reports
show, with the other files as their parts. Markup is in `templates/`, CSS and JavaScript in `static/`.
"""
