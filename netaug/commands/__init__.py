"""The commands of `netaug`, one file each with a function `run(words)`; torch is imported when one starts."""
