"""Every family of datasets with boxes, one import line each; importing a file registers its datasets."""

from netaug.data.readers import coco as coco
from netaug.data.readers import voc as voc
from netaug.data.readers import yolo as yolo
