"""Write the page of a detector: what it finds, misses and confuses."""

from netaug.report.detection.page import render_page, write_page
from netaug.report.detection.results import Results

__all__ = ["Results", "render_page", "write_page"]
