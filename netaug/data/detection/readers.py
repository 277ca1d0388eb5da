"""Every family of datasets with boxes, one import line each; importing a file registers its datasets."""

from netaug.data.detection import coco as coco
from netaug.data.detection import voc as voc
from netaug.data.detection import yolo as yolo
