"""The nerfstudio model: sharp splats seen through a learnt lens, its losses and its start."""
