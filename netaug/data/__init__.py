"""Images in, typed batches out: datasets, keyed order and augmentation, loaders."""

from netaug.data.batch import ClassificationBatch, DataInfo, Normalizer
from netaug.data.build import build_data
from netaug.data.decode.image import load_image
from netaug.data.loading import EvalLoader, TrainLoader
from netaug.data.prepared import Data
from netaug.data.registry import Published, customary_metric, list_datasets, published

__all__ = [
    "ClassificationBatch",
    "Data",
    "DataInfo",
    "EvalLoader",
    "Normalizer",
    "Published",
    "TrainLoader",
    "build_data",
    "customary_metric",
    "list_datasets",
    "load_image",
    "published",
]
