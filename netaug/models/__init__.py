"""Networks by name: those written here, timm's, and anybody's own factory.

A new architecture is a file of its own and one more line of imports below.
"""

from netaug.config.trust import backbone_of
from netaug.models import (
    assembled_resnet,  # noqa: F401
    mcunet,  # noqa: F401
    micronet,  # noqa: F401
    mlperf_tiny,  # noqa: F401
    mobilenetv2,  # noqa: F401
    mobilenetv3,  # noqa: F401
    proxylessnas,  # noqa: F401
    resnet,  # noqa: F401
    yolov3,  # noqa: F401
)
from netaug.models.init import initialize
from netaug.models.registry import (
    check_name,
    create_model,
    default_image_size,
    describe_detectors,
    describe_models,
    list_models,
    register,
)
from netaug.models.zoo import list_timm_models, timm_version

__all__ = [
    "backbone_of",
    "check_name",
    "create_model",
    "default_image_size",
    "describe_detectors",
    "describe_models",
    "initialize",
    "list_models",
    "list_timm_models",
    "register",
    "timm_version",
]
