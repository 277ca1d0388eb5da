"""What is measured, each file runnable alone: `python benchmarks/NAME.py`."""
