"""Images with boxes: annotations as arrays, their checks, and the batches made of them.

Each reader hands over file names and :class:`~netaug.detect.annotations.Annotations`: arrays that are checked all at
once, so that a million objects cost no Python loop and loader processes share their memory. What is wrong goes through
one :class:`~netaug.data.detection.problems.Problems`, which raises, or counts with the first of each kind: training,
``data.on_error skip`` and `netaug data check` are the same code with another answer.
"""
