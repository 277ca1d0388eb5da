"""What is wrong with a dataset before it is trained on: counts, files, duplicates, speed."""
