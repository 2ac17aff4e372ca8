"""Constants of the sRGB transfer curve (IEC 61966-2-1)."""

GAMMA = 2.4
OFFSET = 0.055
TOE = 12.92
TOE_END = 0.04045
"""sRGB value up to which the curve is a line of slope 1 / TOE."""
