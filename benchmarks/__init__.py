"""Measure speed, memory and accuracy; each file runs alone: `python benchmarks/NAME.py`."""
