"""Measure how much of small convolutional classifiers NetAug widens, and whether exactly."""
