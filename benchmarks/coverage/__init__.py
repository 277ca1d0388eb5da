"""How much of the world's small convolutional classifiers NetAug widens, and whether exactly."""
