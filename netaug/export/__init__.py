"""Brings a trained network to a device: float form, ranges, int8 form, and the files that runtimes read."""
