"""Pages that need nothing but themselves: what a capture is worth and what will go wrong with it.

`page.py` is the shell that all pages share, `capture_report.py` the report of a capture; the other files are its parts.
"""
