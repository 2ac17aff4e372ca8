"""What a training left behind: found, checked and loaded, with one clear line for everything that may be wrong."""
