"""Every family of datasets, one import line each; importing a file registers its datasets."""

from netaug.data import cars as cars
from netaug.data import cub200 as cub200
from netaug.data import digits as digits
from netaug.data import flowers102 as flowers102
from netaug.data import folder as folder
from netaug.data import food101 as food101
from netaug.data import huggingface as huggingface
from netaug.data import imagenet as imagenet
from netaug.data import imagenet21k as imagenet21k
from netaug.data import pets as pets
from netaug.data import table as table
from netaug.data import torchvision_sets as torchvision_sets
from netaug.data import webdataset as webdataset
from netaug.data.packed import source as source
