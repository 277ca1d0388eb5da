"""A dataset packed into one folder: all images in one file, read through the page cache, with an index."""
