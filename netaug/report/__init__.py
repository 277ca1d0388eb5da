"""Write pages of comparisons, runs and detectors; nothing is imported here, since matplotlib is slow to load."""
