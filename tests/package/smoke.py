"""Use an installed netaug as a user would in the first minutes; `build_and_install` runs it in a fresh environment."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path


def netaug_command(*words: str) -> str:
    """Return what the installed command prints; it has to succeed."""
    command = Path(sys.executable).with_name("netaug")
    done = subprocess.run([command, *words], check=False, capture_output=True, text=True)
    assert done.returncode == 0, f"netaug {' '.join(words)}\n{done.stdout}{done.stderr}"
    return done.stdout


def main() -> None:
    """Recipes, plans, a training, its page, predictions, exports: each needs files that the package has to bring."""
    import torch

    import netaug

    assert Path(netaug.__file__).is_relative_to(sys.prefix), netaug.__file__
    assert netaug.__version__ in netaug_command("--version")
    assert "demo/digits" in netaug_command("recipes")
    assert "ablation" in netaug_command("compare", "--list")
    assert "stm32f746g-disco" in netaug_command("boards")

    netaug_command("train", "demo/digits", "--epochs", "2", "--data.limit", "256", "--out", "run")
    netaug_command("report", "run")
    model = netaug.load("run")
    assert model(torch.zeros(1, 1, 8, 8)).shape == (1, 10)

    from PIL import Image

    Image.new("L", (8, 8)).save("digit.png")
    assert "%" in netaug_command("predict", "run", "digit.png")
    netaug_command("export", "run", "--to", "tflite-int8", "micro", "--out", "exported")
    assert Path("exported/micro/kernels.c").is_file()

    supernet = netaug.augment(netaug.create_model("mobilenetv2-tiny"), torch.randn(2, 3, 64, 64))
    assert [pass_.name for pass_ in supernet.passes(0, progress=0.0)] == ["base", "augmented"]
    print(
        f"netaug {netaug.__version__} works with Python {sys.version.split()[0]}, torch {torch.__version__}"
    )


if __name__ == "__main__":
    main()
