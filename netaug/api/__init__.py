"""The commands as functions: train, evaluate, predict, load, inspect; `netaug` offers them, loaded at first use."""
