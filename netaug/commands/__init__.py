"""The commands of `netaug`, one file each with a function `run(words)`; torch is imported when one starts."""

from __future__ import annotations

COMMANDS = {
    "train": "train a network with or without NetAug, into a run folder",
    "finetune": "train a pre-trained network on other classes",
    "eval": "measure the top-1 of a run's network, or of a weights file",
    "extract": "write wider networks of one training as weights files",
    "predict": "classify images, or find the objects in them",
    "import-weights": "convert weights of another program, or of the paper's released code",
    "distill-cache": "cache the teacher's logits of each training image, for trainings without it",
    "compare": "train with and without NetAug, several seeds, and compare",
    "report": "rebuild the pages of a comparison or a run, without training",
    "runs": "list the runs in a folder with their progress and accuracy",
    "inspect": "show which channels of a network widen, which do not and why",
    "data": "check a dataset, or pack it into one file for fast repeated training",
    "recipes": "list the recipes, or show one",
    "models": "list the networks",
    "export": "write a trained network for microcontrollers, phones and servers",
    "boards": "list microcontroller boards with their memory",
    "card": "write a model card for a run, as the Hugging Face Hub reads it",
    "completion": "print a script for completion in a shell",
}
