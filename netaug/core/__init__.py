"""What every other package may use: errors, keyed randomness, files, signals, devices, text for terminals."""
