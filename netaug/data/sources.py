"""Every family of datasets, one import line each; importing a file registers its datasets."""

from netaug.data import digits, folder, table, torchvision_sets

__all__ = ["digits", "folder", "table", "torchvision_sets"]
