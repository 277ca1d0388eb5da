"""Images in, typed batches out: datasets, keyed order and augmentation, loaders."""

from netaug.data.batch import ClassificationBatch, DataInfo, Normalizer
from netaug.data.build import Data, build_data
from netaug.data.image import load_image
from netaug.data.loading import EvalLoader, TrainLoader
from netaug.data.registry import list_datasets, published_shape

__all__ = [
    "ClassificationBatch",
    "Data",
    "DataInfo",
    "EvalLoader",
    "Normalizer",
    "TrainLoader",
    "build_data",
    "list_datasets",
    "load_image",
    "published_shape",
]
