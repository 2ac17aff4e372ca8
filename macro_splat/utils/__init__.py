"""Files, locks, messages and plain data: what every room may use."""
