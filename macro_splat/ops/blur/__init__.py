"""Disc blur, blur of two layers, and values carried to pixels that have none."""
