"""The readers, one per source; importing this package registers every dataset."""

from netaug.data.readers import cars as cars
from netaug.data.readers import coco as coco
from netaug.data.readers import cub200 as cub200
from netaug.data.readers import digits as digits
from netaug.data.readers import flowers102 as flowers102
from netaug.data.readers import folder as folder
from netaug.data.readers import food101 as food101
from netaug.data.readers import huggingface as huggingface
from netaug.data.readers import imagenet as imagenet
from netaug.data.readers import imagenet21k as imagenet21k
from netaug.data.readers import pets as pets
from netaug.data.readers import table as table
from netaug.data.readers import torchvision_sets as torchvision_sets
from netaug.data.readers import voc as voc
from netaug.data.readers import yolo as yolo
from netaug.data.readers.packed import source as source
from netaug.data.readers.shards import webdataset as webdataset
