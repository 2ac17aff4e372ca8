"""Structure from motion by pycolmap, made robust to blur. pycolmap is an extra: `colmap.py` says so where it lacks."""
