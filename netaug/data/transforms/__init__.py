"""What changes images between the file and the batch; every draw is keyed by (seed, epoch, index)."""
