"""The trainer: nerfstudio's, with settings that fit the capture, whole checkpoints and a clean stop."""
