"""One block for every structure that convolutional networks are made of, to build random networks from."""

from tests.elastic.blocks import borders, branches, gates, parts, rigid, rows
from tests.elastic.blocks.kit import RIGID, WIDENING

__all__ = ["RIGID", "WIDENING", "borders", "branches", "gates", "parts", "rigid", "rows"]
