"""The commands as functions: train, evaluate, export, predict, load, inspect; `netaug` loads them at first use."""
