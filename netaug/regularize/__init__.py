"""Regularizers against over-fitting: layers that drop values, mixed images, automatic augmentation."""
