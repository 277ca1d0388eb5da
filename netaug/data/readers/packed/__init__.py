"""A dataset packed into one folder: all images in one file, read through the page cache, with an index.

Payloads follow each other in one file, beside an index of fixed rows and the facts with the index's checksum. They are
written into a folder beside the target, which is renamed when all is synced. A reader trusts nothing: it checks the
facts, the checksum and every row's range before it maps the file, whose pages all loader processes share. Checksums of
payloads are for `netaug data check`; a read does not compare them. Images are never enlarged, and JPEG files that need
no scaling are kept byte for byte rather than encoded again.
"""
