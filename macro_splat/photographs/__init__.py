"""Photographs as files: finding and loading them, their EXIF tags, raw files, masks and sharpness."""
