"""What every room uses: whole files and folders, locks, messages, masks, safe YAML, .npy files, progress callbacks."""
