"""The page of a detector: what it finds, what it misses, what it takes for something else."""

from netaug.report.detection.page import render_page, write_page
from netaug.report.detection.results import Results

__all__ = ["Results", "render_page", "write_page"]
