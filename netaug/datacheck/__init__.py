"""Checks a dataset before it is trained on: counts, files, duplicates, speed.

Every file is read once, in threads, and a 64-bit digest of each image's decoded pixels is kept (of large images every
fourth row and column); images whose digests are equal are compared whole. A JPEG whose data is not followed by its end
marker is truncated, also where a decoder fills the rest with gray. Damage inside a JPEG that decoders do not report is
not found.
"""
