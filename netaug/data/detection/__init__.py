"""Images with boxes: readers, what is done to a training image, and loaders of :class:`DetectionBatch`."""
