"""Every family of datasets, one import line each; importing a file registers its datasets."""

from netaug.data import digits, folder, huggingface, table, torchvision_sets, webdataset
from netaug.data.packed import source as packed

__all__ = ["digits", "folder", "huggingface", "packed", "table", "torchvision_sets", "webdataset"]
