"""Shards of webdataset, indexed once and read at random instead of streamed.

Streaming splits shards over processes and workers: batches then depend on both, an epoch is only as exact as the shards
are equal in length, resuming means skipping samples, and fewer shards than workers times processes hang or fail.
Reading at random has none of this, at one ``open`` and one ``seek`` per image. The price is that remote shards are
fetched to disk once before training starts; without a disk for them, mount the bucket and give it as a folder.
"""
