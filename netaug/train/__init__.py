"""How steps become a run: loop, optimizer, checkpoints, run folder."""
