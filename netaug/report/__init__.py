"""Pages that a person is glad to read, in one file each, needing no network and no scripts."""

from netaug.report.html import render_page, write_page

__all__ = ["render_page", "write_page"]
