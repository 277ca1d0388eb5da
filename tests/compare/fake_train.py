"""Stands in for `netaug train`: writes a run folder as the contract says, in milliseconds.

Arguments beginning with --fake. change what happens: ``--fake.refuse=1`` (a user's mistake, exit code 2),
``--fake.fail=ARM:SEED`` (a crash after the first epoch), ``--fake.hang=ARM:SEED`` (never ends),
``--fake.crash=1`` (every run crashes at once), ``--fake.warn=1`` (every run warns), ``--fake.slow=SECONDS`` (an epoch
takes that); by the name of the run folder ``--fake.fail_run=NAME`` and ``--fake.refuse_run=NAME``.
"""

import json
import os
import pathlib
import sys
import time


def parse(words):
    recipe, out, values = words[0], None, {"train.epochs": "4", "train.lr": "0.1", "data.holdout": "0"}
    rest = iter(words[1:])
    for word in rest:
        if word == "--out":
            out = pathlib.Path(next(rest))
        else:
            key, value = word[2:].split("=", 1)
            values[key] = value
    return recipe, out, values


def nested(values):
    """Settings by dotted key as a nested mapping, the way config.yaml has them."""
    tree = {}
    for key, value in values.items():
        *groups, name = key.split(".")
        place = tree
        for group in groups:
            place = place.setdefault(group, {})
        try:
            place[name] = json.loads(value)
        except ValueError:
            place[name] = value
    return tree


def main(words):
    recipe, out, values = parse(words)
    if "fake.refuse" in values or values.get("fake.refuse_run") == out.name:
        print("loading\nConfigError: there is no such recipe.\n  got:     " + recipe, file=sys.stderr)
        return 2
    if "fake.warn" in values:
        print("WARNING: left out 3 images", file=sys.stderr)
    if "fake.crash" in values:
        print("Traceback: it broke", file=sys.stderr)
        return 1
    if out.exists():
        print(f"RunFolderError: '{out}' exists.", file=sys.stderr)
        return 2
    seed, epochs, lr = int(values["train.seed"]), int(values["train.epochs"]), float(values["train.lr"])
    arm = "netaug" if values.setdefault("netaug.enabled", "true") == "true" else "baseline"
    me = f"{arm}:{seed}"
    out.mkdir()
    config = nested(values)
    config["data"]["name"] = "fake"
    (out / "config.yaml").write_text(json.dumps(config))  # JSON is YAML
    (out / "environment.json").write_text(json.dumps({"torch": "9.9", "machine": {"cpu": "fake & <fast>"}}))
    seconds = 2.5 if arm == "netaug" else 1.0
    # best rate: 0.1 for the baseline, 0.2 for NetAug
    peak = 70 + 5 * (arm == "netaug") + 0.1 * epochs - 30 * abs(lr - (0.2 if arm == "netaug" else 0.1))
    macs = 3000 if arm == "netaug" else 1000
    lines = []
    for epoch in range(epochs):
        top1 = peak * (epoch + 1) / epochs + 0.25 * seed * (2 if arm == "netaug" else 1)
        row = {"epoch": epoch, "train_loss": 1.0, "train_top1": top1 + 1, "val_loss": 1.1, "val_top1": top1}
        row |= {"lr": lr, "seconds": seconds, "val_seconds": 0.1, "images_per_second": 100.0, "steps": 10}
        row |= {"train_macs": macs, "widths": {}}
        lines.append(json.dumps(row))
        (out / "metrics.jsonl").write_text("\n".join(lines) + "\n")
        time.sleep(float(values.get("fake.slow", 0)))
        if values.get("fake.fail") == me or values.get("fake.fail_run") == out.name:
            print("TrainingError: the loss is not finite.", file=sys.stderr)
            return 2
        if values.get("fake.hang") == me:
            (out / "pid.tmp").write_text(str(os.getpid()))
            (out / "pid.tmp").rename(out / "pid")  # never there without its number
        while values.get("fake.hang") == me:
            time.sleep(0.05)
    summary = {
        "epochs": epochs,
        "steps": 10 * epochs,
        "val_top1": top1,
        "val_loss": 1.1,
        "train_top1": top1 + 1,
    }
    summary |= {"train_loss": 1.0, "train_seconds": seconds * epochs, "val_seconds": 0.1, "seed": seed}
    summary |= {"train_macs": macs * epochs, "params": 412, "macs": 23100, "arm": arm}
    summary["val_split"] = "holdout" if config["data"]["holdout"] else "val"
    (out / "summary.json").write_text(json.dumps(summary))
    return 0


sys.exit(main(sys.argv[1:]))
