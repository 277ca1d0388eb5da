"""What has to hold on a GPU, as one command of a few minutes; see ``docs/gpu.md``."""
