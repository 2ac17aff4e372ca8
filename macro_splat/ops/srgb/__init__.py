"""The sRGB transfer curve."""
