"""Millimetres: from printed markers, boards, targets of known distance, or a factor."""
