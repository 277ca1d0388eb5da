"""Programs that run in environments of their own (:mod:`netaug.export.environments`), without netaug: one file each."""
