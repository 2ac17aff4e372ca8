"""`rig.yaml`: a turntable or dome, and the poses that follow from it."""
