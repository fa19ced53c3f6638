"""Every command: its options are those of its job, its help is quick and says all, its errors name its options."""

from __future__ import annotations

import inspect
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import typer

from ds3d_tf.cli.app import PANELS, app
from ds3d_tf.cli.options import option_names, parameters
from ds3d_tf.common.errors import InputError, argument
from ds3d_tf.common.options import Options, described

FUNCTIONS = {function.__name__.replace("_", "-"): function for group in PANELS.values() for function in group}
REPOSITORY = Path(__file__).resolve().parents[2]
HEAVY = {"tensorflow", "keras", "pandas", "matplotlib", "scipy", "torch", "numpy"}
# Words that readers of English as a second language stumble over.
ODD = r"tools/|\banew\b|\bgoes on\b|\bgo on\b|found out|in spite of|\bheights?\b|\bfigures?\b|\bshall\b"


def program_command(name: str) -> Any:
    """The command as Typer made it."""
    return typer.main.get_command(app).commands[name]  # type: ignore[attr-defined]


def options_class(function: Callable[..., None]) -> type[Options]:
    """The options class that a command's function takes."""
    kinds = [one.annotation for one in inspect.signature(function, eval_str=True).parameters.values()]
    return next(kind for kind in kinds if isinstance(kind, type) and issubclass(kind, Options))


def job(name: str) -> Callable[..., Any]:
    """The function behind a command."""
    module = name.replace("-", "_")
    return getattr(__import__(f"ds3d_tf.jobs.{module}", fromlist=[module]), module)


def test_each_job_has_a_command_and_a_door_in_tools() -> None:
    jobs = {path.stem for path in (REPOSITORY / "ds3d_tf" / "jobs").glob("[a-z]*.py")}
    doors = {path.stem for path in (REPOSITORY / "tools").glob("*.py")}
    assert {name.replace("-", "_") for name in FUNCTIONS} == jobs == doors


@pytest.mark.parametrize("name", FUNCTIONS)
def test_every_field_is_an_option_with_its_default(name: str) -> None:
    cls = options_class(FUNCTIONS[name])
    command = program_command(name)
    shown = {param.name: param for param in command.params}
    instance = cls()
    fields = described(cls)
    assert set(fields) == set(cls.__dataclass_fields__), "a field without an Option"
    for field, (_, default, option) in fields.items():
        param = shown[field]
        assert option.flag.partition("/")[0] in param.opts and not param.required
        expected = getattr(instance, field)
        assert expected == default
        if option.numbers:
            expected = ",".join(map(str, expected))
        elif expected == ():
            expected = None
        assert param.get_default(typer.Context(command)) == expected, field


@pytest.mark.parametrize("name", FUNCTIONS)
def test_the_job_takes_the_same_options(name: str) -> None:
    taken = inspect.signature(job(name)).parameters
    assert taken["options"].default == options_class(FUNCTIONS[name])()
    assert set(described(options_class(FUNCTIONS[name]))) <= set(taken)


@pytest.mark.parametrize("name", FUNCTIONS)
def test_help_is_a_sentence_in_plain_words(name: str) -> None:
    texts = [one.option.help for one in parameters(FUNCTIONS[name])]
    assert all(text.endswith((".", "…")) and text[:1].strip() for text in texts), texts
    for text in [*texts, FUNCTIONS[name].__doc__ or ""]:
        assert not re.search(ODD, text), text
    assert (FUNCTIONS[name].__doc__ or "").split("\n\n")[0].strip().endswith(".")


def test_flags_are_declared_once_in_each_command() -> None:
    for name, function in FUNCTIONS.items():
        flags = [one.option.flag for one in parameters(function) if one.option.flag]
        assert len(flags) == len(set(flags)), name


def test_shared_options_have_one_wording() -> None:
    """Except where they mean something of their own."""
    own = {"--out", "--seed", "--setup", "--model", "--frames", "--memory", "--z-positions", "--steps"}
    own |= {"--count", "--skip", "--batch", "--repeats", "--method", "--from", "--radius", "--pixel"}
    own |= {"--drift", "--patience"}
    wordings: dict[str, set[str]] = {}
    for function in FUNCTIONS.values():
        for one in parameters(function):
            wordings.setdefault(one.option.flag, set()).add(one.option.help)
    assert {flag for flag, texts in wordings.items() if len(texts) > 1} <= own | {""}


@pytest.mark.parametrize("name", [None, *FUNCTIONS])
def test_help_is_quick(name: str | None) -> None:
    arguments = [] if name is None else [name]
    code = (
        "import sys, time\nfrom ds3d_tf.cli.app import run\n"
        f"try:\n    run(arguments={[*arguments, '--help']!r})\n"
        "except SystemExit as end:\n    assert not end.code\n"
        f"print('used', time.process_time(), sorted({HEAVY!r} & set(sys.modules)))"
    )
    # The processor's time, which does not depend on what else runs here; the best of three, as caches fill.
    used = []
    for _ in range(3):
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
        *text, last = done.stdout.splitlines()
        seconds, heavy = last.removeprefix("used ").split(" ", 1)
        assert heavy == "[]" and "Usage: ds3d" in "\n".join(text)
        used.append(float(seconds))
        if used[-1] < 0.5:
            return
    raise AssertionError(f"{min(used):.2f} s")


def test_the_program_lists_all_commands_in_panels(ds3d) -> None:
    shown = ds3d("--help").stdout
    for panel, functions in PANELS.items():
        assert f"─ {panel} ─" in shown
        assert all(f" {function.__name__.replace('_', '-')} " in shown for function in functions)


def test_choices_are_listed(ds3d) -> None:
    assert re.search(r"float32\s*\|\s*bfloat16", ds3d("localize", "--help").stdout)
    wrong = ds3d("localize", "--model", "m", "--frames", "f", "--out", "o.csv", "--precision", "float16")
    assert wrong.returncode == 2 and "'float32'" in wrong.stderr and "'bfloat16'" in wrong.stderr


def test_version_and_completion(ds3d) -> None:
    import ds3d_tf

    assert ds3d("--version").stdout == f"ds3d {ds3d_tf.__version__}\n"
    assert "--install-completion" in ds3d("--help").stdout


def test_a_name_with_underscores_is_the_same_command(ds3d) -> None:
    assert ds3d("retrieve_mask", "--help").stdout == ds3d("retrieve-mask", "--help").stdout
    assert ds3d("no-such", "--help").returncode == 2


def test_former_names_of_options(ds3d, tmp_path: Path) -> None:
    arguments = ["--to", "tflite", "--out", tmp_path / "a.tflite"]
    for option in (["--run", tmp_path / "none"], [f"--run={tmp_path / 'none'}"]):
        done = ds3d("export", *option, *arguments)
        assert done.returncode == 2 and done.stderr.startswith(f"error: {tmp_path / 'none'}: no such model folder")
    assert "--run" not in ds3d("export", "--help").stdout
    wrong = ds3d("retrieve-mask", "--model", "vector")
    assert wrong.returncode == 2 and "--optical-model" in wrong.stderr


def test_errors_name_the_option(ds3d, tmp_path: Path) -> None:
    files = ["--model", "tetrapod_4um", "--frames", tmp_path / "none.tif", "--out", tmp_path / "a.csv"]
    assert ds3d("localize", *files, "--memory", "-1").stderr == "error: --memory -1: expected more than 0\n"
    assert ds3d("localize", *files, "--radius", "x").returncode == 2
    done = ds3d("evaluate", "--model", "m", "--out", tmp_path / "out", "--emitters", "-1")
    assert done.stderr == "error: --emitters -1: expected 0 or more\n"
    done = ds3d("crlb", "--setup", "nowhere", "--out", tmp_path / "a.png")
    assert done.stderr.startswith("error: --setup nowhere: ")
    done = ds3d("crlb", "--setup", "demo1", "--set", "learning.epoch=1", "--out", tmp_path / "a.png")
    assert done.stderr.startswith("error: --set learning.epoch=1: ")
    done = ds3d("train", "--out", tmp_path / "run")
    assert done.stderr.startswith("error: --setup is missing")
    done = ds3d("prepare", "--frames", tmp_path, "--out", tmp_path / "p", "--skip", "1,a")
    assert done.stderr.startswith("error: --skip 1,a: expected whole numbers")
    assert not list(tmp_path.iterdir())


def test_names_of_arguments_are_translated() -> None:
    names = option_names(FUNCTIONS["localize"])
    text = InputError(f"{argument('memory_gb')}, {argument('radius_voxels')}, {argument('model')}").for_command(names)
    assert text == "--memory, --radius, --model"


@pytest.mark.parametrize("name", ["simulate", "localize"])
def test_tools_are_doors_to_the_commands(name: str, ds3d) -> None:
    door = subprocess.run(
        [sys.executable, str(REPOSITORY / "tools" / f"{name}.py"), "--help"], capture_output=True, text=True, check=True
    )
    assert door.stdout == ds3d(name, "--help").stdout
    module = [sys.executable, "-m", "ds3d_tf", name, "--help"]
    assert subprocess.run(module, capture_output=True, text=True, check=True).stdout == door.stdout
