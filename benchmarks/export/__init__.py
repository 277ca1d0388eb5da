"""What an export costs and which networks it knows: `python -m benchmarks.export`."""
