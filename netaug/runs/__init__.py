"""Run folders: their files, checkpoints, records of epochs, resuming, and the list of runs."""
