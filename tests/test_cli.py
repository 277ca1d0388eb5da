"""The command line: exit codes, messages without tracebacks, and the way from a recipe to a prediction."""

from __future__ import annotations

import itertools
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest
from PIL import Image
from torch import nn

import netaug
from netaug.api.evaluation import check_classes, evaluation_data
from netaug.cli import COMMANDS, main
from netaug.config import DataConfig, ModelConfig
from netaug.config.settings import FREQUENT, settings
from netaug.core.errors import DataError
from netaug.data import DataInfo, build_data
from netaug.tasks import ClassificationTask
from netaug.train.build import make_card

TRAIN = ["train", "demo/digits", "--data.limit", "192", "--train.epochs", "2", "--train.threads", "1"]


def build(*, num_classes: int, in_chans: int) -> nn.Module:
    """A user's own network."""
    return nn.Sequential(
        nn.Conv2d(in_chans, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(), nn.Linear(4 * 36, num_classes)
    )


def fails(capsys: pytest.CaptureFixture[str], *words: str) -> str:
    """Run a command that is a user's mistake; its message."""
    assert main(words) == 2
    output = capsys.readouterr()
    assert output.out == ""
    assert "Traceback" not in output.err
    return output.err


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("runs") / "digits"
    assert main([*TRAIN, "--netaug.enabled", "false", "--out", str(folder)]) == 0
    return folder


@pytest.fixture
def picture(tmp_path: Path) -> str:
    path = tmp_path / "picture.png"
    Image.effect_noise((20, 30), 90).convert("RGB").save(path)
    return str(path)


@pytest.mark.parametrize(
    "words",
    [
        "--help",
        "--version",
        "recipes",
        "recipes show demo/digits",
        "train --help",
        "compare --help",
        "compare --list",
        "inspect --help",
    ],
)
def test_help_and_recipes_do_not_import_torch(words: str) -> None:
    code = (
        "import sys; from netaug.cli import main; code = main(sys.argv[1:]); "
        "sys.exit(code or 10 * bool({'torch', 'timm', 'sklearn'} & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, *words.split()], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip()


def test_a_plain_training_imports_neither_torchs_compiler_nor_what_counts_processors(tmp_path: Path) -> None:
    """They take 1.5 seconds: more than such a training of a tiny network, of which a comparison starts many."""
    code = (
        "import sys; from netaug.cli import main; assert not main(sys.argv[1:])\n"
        "assert not (found := {'torch._dynamo', 'sympy', 'joblib', 'timm'} & set(sys.modules)), found"
    )
    short = "--train.epochs=1 --train.warmup_epochs=0 --data.limit=128 --netaug.enabled=false"
    words = ["train", "demo/digits", f"--out={tmp_path / 'run'}", *short.split()]
    done = subprocess.run([sys.executable, "-c", code, *words], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_commands_say_what_they_load_before_they_import_torch(tmp_path: Path) -> None:
    (tmp_path / "RUN").mkdir()
    (tmp_path / "RUN" / "model.safetensors").touch()
    code = (
        "import sys, importlib; from netaug.commands import COMMANDS; from netaug.commands.data import SUBCOMMANDS\n"
        "for name in [*COMMANDS, *(f'data_{part}' for part in SUBCOMMANDS)]:\n"
        "    importlib.import_module(f\"netaug.commands.{name.replace('-', '_')}\")\n"
        "    assert 'torch' not in sys.modules, name\n"
        "sys.stderr.isatty = lambda: True\n"
        "class Enough(Exception): pass\n"
        "def say(text, **_): assert 'torch' not in sys.modules, text; raise Enough(text)\n"
        "import netaug.commands.arguments as arguments; arguments.say = say\n"
        "for words in ('eval RUN', 'predict RUN IMAGE', 'inspect mcunet', 'export RUN', 'models', 'card RUN',\n"
        "              'extract RUN --family 2 --out x', 'data check --data D', 'compare demo/digits --seeds 1'):\n"
        "    command, *rest = words.split()\n"
        "    try: importlib.import_module(f'netaug.commands.{command}').run(rest)\n"
        "    except Enough: continue\n"
        "    raise AssertionError(words)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_explains_itself_with_an_example(
    capsys: pytest.CaptureFixture[str], command: str
) -> None:
    assert main([command, "--help"]) == 0
    text = capsys.readouterr().out
    assert f"usage: netaug {command}" in text
    assert re.search(rf"example:\n  netaug {command}", text)


def test_train_help_shows_what_matters_first(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["train", "--help"]) == 0
    text = capsys.readouterr().out
    assert len(text.splitlines()) < 160
    assert all(f"--{key} " in text for key in FREQUENT)
    assert "--train.label_smoothing" not in text


def test_train_help_all_shows_every_key_with_default(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["train", "--help-all"]) == 0
    text = " ".join(capsys.readouterr().out.split())
    assert all(f"--{key} " in text for key in settings())
    assert "--train.label_smoothing" in text
    assert "Probability mass spread over all classes" in text
    assert "default: 0.1" in text


def test_overview_names_every_command(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--help"]) == 0
    text = capsys.readouterr().out
    for command, line in COMMANDS.items():
        assert re.search(rf"{command} +{line}", text)
    assert main(["--version"]) == 0
    assert capsys.readouterr().out == f"netaug {netaug.__version__}\n"
    assert main([]) == 2


def test_recipes_are_listed_with_a_line_and_shown(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["recipes"]) == 0
    assert re.search(r"^demo/digits +A network of a few hundred", capsys.readouterr().out, re.MULTILINE)
    assert main(["recipes", "show", "demo/digits"]) == 0
    assert "model:\n  name: micronet" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["trian"], r"ConfigError: there is no command 'trian'(?s:.*)`netaug train`"),
        (["train", "demo/digts"], "ConfigError: there is no recipe(?s:.*)demo/digits"),
        (["train"], "a training needs a recipe, or images"),
        (["train", "demo/digits", "--train.epocs", "3"], r"did you mean 'train\.epochs'"),
        (["train", "demo/digits", "--warmup_epochs", "3"], r"did you mean --train\.warmup_epochs"),
        (["train", "demo/digits", "--lr=3"], r"did you mean --train\.lr"),
        (
            ["train", "demo/digits", "--train.lr", "fast"],
            r"train\.lr has a value of the wrong type(?s:.*)'fast'",
        ),
        (["train", "demo/digits", "--train.lr"], r"--train\.lr needs a value"),
        (["train", "demo/digits", "--model.name", "mobilnetv2-tiny"], "ModelError(?s:.*)mobilenetv2-tiny"),
        (["train", "demo/digits", "--data.name", "digitz"], "DataError(?s:.*)digits"),
        (["train", "demo/digits", "--train.device", "gpu"], r"train\.device 'gpu' cannot be used"),
        (["train", "demo/digits", "extra"], r"ConfigError: netaug train: .*extra"),
        (["eval", "no/such/run"], "RunFolderError: there is no run folder"),
        (["eval", "no/such/run", "--train.lr", "3"], r"'--train\.lr' has no effect on `netaug eval`"),
        (["predict", "no/such/run", "x.png"], "RunFolderError: there is no run folder"),
        (["predict", "run"], "required: images"),
        (["recipes", "shw"], "show NAME"),
        (["recipes", "show", "demo/digt"], "did you mean demo/digits"),
        (["models", "x"], "x"),
        (["inspect", "mcunett"], "ModelError(?s:.*)mcunet"),
        (["inspect", "demo/digts"], "ConfigError: there is no recipe(?s:.*)demo/digits"),
        (["inspect", "micronet", "--image-size", "0"], "--image-size is out of range"),
        (["inspect", "micronet", "--in-chans", "-1"], "--in-chans is out of range"),
        (["inspect", "micronet", "--data.pad", "1"], r"'--data\.pad' has no effect on `netaug inspect`"),
        (["inspect", "mcunet", "--image-size", "8"], "8x8 pixels are too small for 'mcunet'"),
        (["inspect", "micronet", "--model.weights", "x.pt"], r"'--model\.weights' has no effect"),
        (["eval", "no/such/run", "--data.augment", "none"], r"'--data\.augment' has no effect"),
        (["train", "demo/digits", "--model.options.stm", "4"], r"no option 'stm'(?s:.*)did you mean 'stem'"),
        (["compare", "demo/digits"], "how many runs(?s:.*)--seeds"),
        (["compare"], "needs a plan, a recipe, or images"),
        (["compare", "--list", "ablatoin"], "no packaged plan(?s:.*)did you mean ablation"),
        (["compare", "--list", "--train.lr", "1"], "takes no settings"),
        (["compare", "distillation-small", "--seeds", "0"], "--seeds of `netaug compare` is out of range"),
        (["compare", "distillation", "--small", "--train.lrr", "1"], r"did you mean 'train\.lr'"),
        (["compare", "distillation", "--small", "--distill.temperature", "4"], "the arm 'kd' sets it"),
        (["compare", "distilation", "--seeds", "1"], "did you mean distillation"),
        (["compare", "demo/digits", "--small", "--seeds", "1"], "no small version(?s:.*)distillation-small"),
        (["compare", "demo/digits", "--seeds", "two"], "seeds(?s:.*)two"),
        (["compare", "demo/digits", "--seeds", "2", "--train.lrr", "1"], r"did you mean 'train\.lr'"),
    ],
)
def test_mistakes_are_messages_with_exit_code_2(
    capsys: pytest.CaptureFixture[str], words: list[str], message: str
) -> None:
    assert re.search(message, fails(capsys, *words))


def test_a_run_that_exists_is_not_touched(capsys: pytest.CaptureFixture[str], run: Path) -> None:
    before = {str(entry): entry.read_bytes() for entry in run.rglob("*") if entry.is_file()}
    assert "RunFolderError" in fails(capsys, *TRAIN, "--out", str(run))
    assert {str(entry): entry.read_bytes() for entry in run.rglob("*") if entry.is_file()} == before


@pytest.mark.parametrize("by", ["run", "weights"])
def test_eval_measures_exactly_what_the_last_epoch_did(
    capsys: pytest.CaptureFixture[str], run: Path, monkeypatch: pytest.MonkeyPatch, by: str
) -> None:
    found: list[dict[str, float]] = []
    judged = ClassificationTask.judged

    def spy(self: ClassificationTask, *arguments: object) -> dict[str, float]:
        found.append(judged(self, *arguments))  # type: ignore[arg-type]
        return found[-1]

    monkeypatch.setattr(ClassificationTask, "judged", spy)
    words = [str(run)] if by == "run" else [str(run / "model.safetensors"), "--data.name", "digits"]
    assert main(["eval", *words]) == 0
    summary = json.loads((run / "summary.json").read_text())
    assert found[0]["top1"] == summary["val_top1"]
    if by == "run":
        assert found[0]["loss"] == pytest.approx(summary["val_loss"], rel=1e-6)
    text = capsys.readouterr().out
    assert f"top-1 {summary['val_top1']:.2f} %" in text
    assert "n 359  split test of digits" in text


def test_eval_of_a_weights_file_asks_for_its_data(
    capsys: pytest.CaptureFixture[str], run: Path, tmp_path: Path
) -> None:
    shutil.copy(run / "model.safetensors", tmp_path)
    assert "add --data DIR" in fails(capsys, "eval", str(tmp_path / "model.safetensors"))
    assert main(["eval", str(run / "model.safetensors")]) == 0  # in its run folder, the data is known


def test_eval_on_other_classes_is_refused(
    capsys: pytest.CaptureFixture[str], run: Path, tmp_path: Path
) -> None:
    for split in ("train", "val"):
        for name in ("cat", "dog"):
            (tmp_path / split / name).mkdir(parents=True)
            Image.effect_noise((8, 8), 90).save(tmp_path / split / name / "0.png")
    message = fails(capsys, "eval", str(run), "--data.name", "folder", "--data.root", str(tmp_path))
    assert "DataError: the images have other channels than the network" in message


def test_classes_are_compared_by_name_and_order() -> None:
    info = DataInfo("x", ("cat", "dog"), 1, 8, (0.5,), (0.5,), 1.0, 1, 1, "val")
    card = make_card(ModelConfig(), info, None)
    check_classes(card, info)
    for names, message in (
        (("dog", "cat"), "first that differs: 'dog', the network says 'cat'"),
        (("cat", "dog", "eel"), "3 classes in 'x'"),
    ):
        with pytest.raises(DataError, match=message):
            check_classes(card, replace(info, class_names=names))


@pytest.mark.parametrize("crop_ratio", [1.0, 0.875])
def test_evaluation_crops_as_the_network_was_trained_to_see(tmp_path: Path, crop_ratio: float) -> None:
    """Whatever the data settings at hand say about augmentation and caching."""
    for split in ("train", "val"):
        (tmp_path / split / "cat").mkdir(parents=True)
        Image.effect_noise((12, 12), 90).save(tmp_path / split / "cat" / "0.png")
    info = DataInfo("x", ("cat",), 3, 12, (0.5,) * 3, (0.5,) * 3, crop_ratio, 1, 1, "val")
    card = make_card(ModelConfig(), info, None)
    for augment, cache in itertools.product(("imagenet", "small"), ("ram", "none")):
        config = DataConfig(name="folder", root=str(tmp_path), augment=augment, cache=cache)  # type: ignore[arg-type]
        found = build_data(evaluation_data(config, card), seed=0).info
        assert (found.crop_ratio, found.image_size) == (crop_ratio, 12)


def test_truncated_weights_are_a_message(
    capsys: pytest.CaptureFixture[str], run: Path, tmp_path: Path
) -> None:
    damaged = tmp_path / "model.safetensors"
    damaged.write_bytes((run / "model.safetensors").read_bytes()[:-7])
    for words in (["eval", str(damaged), "--data.name", "digits"], ["predict", str(damaged), "x.png"]):
        assert fails(capsys, *words).startswith("CheckpointError")


def test_predictions_name_classes_with_probabilities(
    capsys: pytest.CaptureFixture[str], run: Path, picture: str
) -> None:
    assert main(["predict", str(run), picture, picture, "--top", "10", "--json"]) == 0
    first, second = json.loads(capsys.readouterr().out)
    assert first == second
    assert first["image"] == picture
    probabilities = [entry["probability"] for entry in first["classes"]]
    assert sum(probabilities) == pytest.approx(1.0)
    assert probabilities == sorted(probabilities, reverse=True)
    assert {entry["name"] for entry in first["classes"]} == set("0123456789")
    assert main(["predict", str(run / "model.safetensors"), picture, "--top", "2"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == picture
    assert lines[1] == f"  {first['classes'][0]['name']}  {100 * probabilities[0]:5.1f} %"
    assert len(lines) == 3


def test_predicting_what_is_no_picture_is_a_message(
    capsys: pytest.CaptureFixture[str], run: Path, tmp_path: Path
) -> None:
    (tmp_path / "x.png").write_text("no picture")
    assert fails(capsys, "predict", str(run), str(tmp_path / "x.png")).startswith("DataError")


@pytest.mark.slow
def test_inspect_shows_groups_of_a_recipe_and_of_a_model(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["inspect", "demo/digits", "--netaug.width", "1,5"]) == 0
    assert re.search(r"stem\.conv +width +3 +3, 15 ", capsys.readouterr().out)
    words = ["--image-size", "16", "--num-classes", "7", "--in-chans", "1", "--members"]
    assert main(["inspect", "micronet", *words]) == 0
    assert "classifier (7 channels)" in capsys.readouterr().out


@pytest.mark.slow
def test_inspect_of_a_recipe_without_its_data_counts_what_the_recipe_trains(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["inspect", "demo/fashion_mnist"]) == 0
    text = capsys.readouterr().out
    assert "micronet for 10 classes and images of 1x28x28\n" in text
    assert "classifier (10 channels)" in text


@pytest.mark.slow
def test_inspect_says_what_it_assumes(capsys: pytest.CaptureFixture[str]) -> None:
    words = ["--data.name", "folder", "--image-size", "32"]
    assert main(["inspect", "demo/cifar10", *words]) == 0
    assert "for 1000 classes and images of 3x32x32; assumed" in capsys.readouterr().out


def test_eval_help_shows_what_it_takes_and_no_more(capsys: pytest.CaptureFixture[str]) -> None:
    main(["eval", "--help"])
    text = capsys.readouterr().out
    for key in ("data.root", "data.eval_batch_size", "train.device", "train.threads"):
        assert f"--{key} " in text
    for key in ("data.augment", "data.batch_size", "data.limit", "train.lr"):
        assert f"--{key} " not in text


@pytest.mark.slow
def test_a_users_own_network_goes_all_the_way(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, picture: str
) -> None:
    words = ["--model.name", f"{__name__}:build", "--model.options", "{}", "--out", str(tmp_path / "run")]
    assert main([*TRAIN, *words]) == 0
    run, name = str(tmp_path / "run"), f"{__name__}:build"
    said = capsys.readouterr().out
    assert f"netaug eval {run} --model.name {name}" in said, "what comes next is a command that works"
    named = ["--model.name", name]
    digits = ["--data.name=digits", "--data.limit=64", "--data.batch_size=32", "--train.epochs=1"]
    for command in (
        ["eval", run],
        ["eval", run, "--widths", "base", "--images", "64"],
        ["predict", run, picture],
        ["extract", run, "--widths", "widest", "--out", str(tmp_path / "wide.safetensors"), "--images", "64"],
        ["finetune", "--from", run, *digits, "--out", str(tmp_path / "tuned")],
    ):
        assert main(command) == 2, f"a run folder may come from anyone: {command}"
        assert "--model.name" in capsys.readouterr().err
        assert main([*command, *named]) == 0
    student = ["train", "demo/digits", *digits, "--train.warmup_epochs=0", "--distill.teacher", run]
    student += ["--out", str(tmp_path / "student")]
    assert main(student) == 2
    assert f"--trust {name}" in capsys.readouterr().err
    assert main([*student, "--trust", name]) == 0
    longer = ["3" if word == "2" else word for word in TRAIN]
    assert main([*longer, *words, "--resume"]) == 0, "the same words go on"
    assert main(["report", run]) == 0
    capsys.readouterr()


def test_compare_is_asked_what_the_words_say(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    import netaug.compare

    asked = []
    monkeypatch.setattr(netaug.compare, "compare", lambda request: asked.append(request))
    monkeypatch.setattr(netaug.compare, "show", lambda *_: None)
    monkeypatch.setattr("netaug.report.comparison_pages.write_with_runs", lambda *_: None)
    words = ["--seeds", "3", "--jobs", "2", "--out", str(tmp_path), "--overwrite", "--lr", "0.1", "0.2"]
    assert main(["compare", "demo/digits", *words, "--threads", "1", "--train.epochs", "4"]) == 0
    (request,) = asked
    assert (request.recipe, request.seeds, request.jobs, request.out) == ("demo/digits", 3, 2, tmp_path)
    assert (request.overwrite, request.lrs, request.threads) == (True, (0.1, 0.2), 1)
    assert request.overrides == ("--train.epochs=4",)
    assert capsys.readouterr().out.splitlines()[-1] == f"page:    {tmp_path / 'report.html'}"


def test_plans_are_asked_for_by_name_file_and_size(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    import netaug.compare

    asked = []
    monkeypatch.setattr(netaug.compare, "compare", lambda request: asked.append(request))
    monkeypatch.setattr(netaug.compare, "show", lambda *_: None)
    monkeypatch.setattr("netaug.report.comparison_pages.write_with_runs", lambda *_: None)
    (tmp_path / "mine.yaml").write_text(
        "recipe: demo/digits\nreference: a\narms: {a: {set: {netaug.enabled: false}}, b: {}}\n"
        "grid: {train.lr: [0.1, 0.2], train.weight_decay: [0, 0.1]}\n"
    )
    assert main(["compare", "distillation", "--small", "--train.epochs", "2", "--nproc", "2"]) == 0
    assert main(["compare", "distillation-small", "--seeds", "5", "--out", "there", "--lr", "0.1"]) == 0
    assert main(["compare", str(tmp_path / "mine.yaml"), "--seeds", "2"]) == 0
    small, same, mine = asked
    assert small.plan == same.plan != mine.plan
    assert (small.recipe, small.seeds, small.out) == (
        "distillation-small",
        3,
        Path("runs/compare-distillation-small"),
    )
    assert (small.nproc, small.overrides) == (2, ("--train.epochs=2",))
    assert (same.seeds, same.out, same.lrs) == (5, Path("there"), (0.1,))
    assert (mine.out, mine.lrs, len(mine.grid())) == (Path("runs/compare-mine"), (0.1, 0.2), 4)


def test_a_packaged_plan_is_printed_to_be_changed(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    from netaug.compare.planning import find_plan

    assert main(["compare", "--list", "ablation-small"]) == 0
    (tmp_path / "mine.yaml").write_text(capsys.readouterr().out)
    mine, packaged = find_plan(str(tmp_path / "mine.yaml")), find_plan("ablation-small")
    assert mine is not None
    assert packaged is not None
    assert mine.arms == packaged.arms


@pytest.mark.slow
def test_ctrl_c_says_where_things_are_and_exits_with_130(tmp_path: Path) -> None:
    out = tmp_path / "run"
    words = [
        "demo/digits",
        "--train.epochs",
        "100000",
        "--netaug.enabled",
        "false",
        "--train.checkpoint_every",
        "1",
    ]
    environment = {**os.environ, "PYTHONPATH": os.getcwd()}
    command = [sys.executable, "-m", "netaug", "train", *words, "--out", str(out)]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=environment)
    while not (out / "model.safetensors").exists() and process.poll() is None:
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=200)
    assert process.returncode == 130
    assert "Traceback" not in errors
    assert re.search(r"stopped; saved after step \d+ in .*checkpoints", errors)


@pytest.mark.parametrize(("rank", "printed"), [(0, True), (1, False)])
def test_what_is_work_of_one_process_is_refused_to_several_with_one_message(
    rank: int, printed: bool, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, value in (("RANK", rank), ("LOCAL_RANK", rank), ("WORLD_SIZE", 2)):
        monkeypatch.setenv(name, str(value))
    assert main(["distill-cache", "demo/digits", "--out", "cache"]) == 2
    assert ("`netaug distill-cache` runs in a single process" in capsys.readouterr().err) == printed


def test_a_pattern_that_the_shell_made_many_names_of_is_a_short_message(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["train", *(f"images/{number}.jpg" for number in range(500))]) == 2
    text = capsys.readouterr().err
    assert "unrecognized arguments: images/1.jpg" in text
    assert len(text) < 1500
