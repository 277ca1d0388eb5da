"""Every family of datasets with boxes, one import line each; importing a file registers its datasets."""

from netaug.data.detection import voc as voc
