"""The job of `ds3d run`: from a recording to the picture and the report, in steps that are done once."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ds3d_tf.common import console
from ds3d_tf.common.errors import InputError
from ds3d_tf.common.lock import only_process
from ds3d_tf.common.options import Options, described, takes_options
from ds3d_tf.common.outputs import check_folder, mark_folder
from ds3d_tf.common.progress import Progress, no_progress
from ds3d_tf.options import RenderOptions, RunOptions
from ds3d_tf.postprocessing.pipeline.plan import Plan, read_plan
from ds3d_tf.postprocessing.pipeline.state import STATE_FILE, RunState, files_digest, fingerprint

if TYPE_CHECKING:
    from ds3d_tf.localization.frames.source import FrameSource

LOCALIZED, TABLE, FINAL, REPORT = "localized.csv", "localized.parquet", "molecules.csv", "report.html"
STEP_TABLES = {"drift": "drifted.parquet", "filter": "filtered.parquet", "group": "grouped.parquet"}
DRIFT_CURVE, DRIFT_FIGURE = "drifted_drift.csv", "drifted_drift.png"
GROUP_FIGURE = "grouped_precision.png"
PICTURE, PICTURE_TIFF, QUALITY = "picture.png", "picture.tif", "quality"
FILES = (
    STATE_FILE, "localized.*", FINAL, REPORT, *STEP_TABLES.values(), DRIFT_CURVE, DRIFT_FIGURE, GROUP_FIGURE, PICTURE,
    PICTURE_TIFF, f"{QUALITY}/**",
)  # fmt: skip
# Fewer frames or molecules say more about noise than about drift.
FEWEST_FRAMES, FEWEST_MOLECULES = 200, 2000


@dataclass(frozen=True)
class FinishedRun:
    """What was made, and what became of each step: "done", "as before" or why it was skipped."""

    folder: Path
    steps: list[tuple[str, str]]

    def summary(self) -> str:
        """Return a line for each step, and where the report is."""
        width = max(len(step) for step, _ in self.steps)
        lines = [f"{step:<{width}}  {what}" for step, what in self.steps]
        return "\n".join([*lines, f"molecules: {self.folder / FINAL}", f"report: {self.folder / REPORT}"])


@takes_options(RunOptions)
def run(
    frames: str | Path,
    model: str | Path,
    out: str | Path,
    options: RunOptions,
    *,
    overwrite: bool = False,
    progress: Progress = no_progress,
) -> FinishedRun:
    """Localize a recording, correct drift, filter, group, measure, render and report; resumes where it was stopped.

    Args:
        frames: recording, in any form that ``open_frames`` reads.
        model: a model in any format of this package, or the name of a shipped one.
        out: folder to write; a run of the same recording and model is resumed in it.
        options: see :class:`~ds3d_tf.options.RunOptions`; its fields may be given as keywords instead.
        overwrite: whether to replace a run of another recording or model.
        progress: told how far each step is.

    Raises InputError for a recording, model, plan, option or output that cannot be used.
    """
    plan = read_plan(options.steps).of(options.position, options.channel)
    out = check_folder(out, overwrite=True, command="run")
    from ds3d_tf.common.shipped import find_model

    model_path = find_model(model)
    identity = {"recording": str(Path(frames).expanduser().absolute()), "model": str(model_path.absolute())}
    with only_process(out.with_name(f"{out.name}.lock"), str(out)):
        out.mkdir(parents=True, exist_ok=True)
        state = RunState(out, identity, overwrite)
        mark_folder(out, "run", FILES)
        job = _Run(str(frames), str(model), model_path, out, plan, state, progress)
        if options.watch:
            return job.watch(options.interval_s, options.patience_s)
        return job.whole()


@dataclass
class _Run:
    """One run: each step knows its input, and is skipped if it was done from the same input."""

    frames: str
    model: str
    model_path: Path
    out: Path
    plan: Plan
    state: RunState
    progress: Progress
    steps: list[tuple[str, str]] = field(default_factory=list)
    commands: list[str] = field(default_factory=list)

    def whole(self) -> FinishedRun:
        from ds3d_tf.jobs.localize import localize

        count = len(self._source())
        made_from = self._inputs(count)
        table = self.out / LOCALIZED
        options = self.plan.localize
        made_from = self._do(
            "localize",
            options,
            made_from,
            [table],
            lambda: localize(self.model, self.frames, table, options, overwrite=True, progress=self.progress),
            self._localized_by(),
        )
        return self._after(made_from, count)

    def _source(self) -> FrameSource:
        """Return the position and channel of the recording that is localized."""
        from ds3d_tf.localization.frames.source import open_frames

        chosen = self.plan.localize
        return open_frames(self.frames, keep_damaged=True, position=chosen.position, channel=chosen.channel)

    def _inputs(self, count: int) -> str:
        """Return a text that is another one if the recording or the model are other ones than before."""
        from ds3d_tf.localization.recording.identity import files_as_they_are

        recording = files_as_they_are(self.frames)["digest"]
        return fingerprint("frames", None, f"{count} {recording} {files_digest(self.model_path)}")

    def _localized_by(self) -> str:
        return f"--model {self.model} --frames {self.frames} --out {LOCALIZED}"

    def watch(self, interval_s: float, patience_s: float) -> FinishedRun:
        """Follow the recording; after each look, everything that comes after localization is made again."""
        import shutil

        from ds3d_tf.common.files import whole_file
        from ds3d_tf.postprocessing.pipeline.watching import follow

        options = self.plan.localize
        rows, count, finished = self.out / LOCALIZED, 0, None
        table = None
        try:
            for table, source in follow(self.model, self.frames, rows, options, interval_s, patience_s, self.progress):
                count = table.next_frame
                if not table.rows:
                    continue
                with whole_file(rows) as temporary:
                    shutil.copyfile(table.rows_file, temporary)
                self.steps = [("localize", f"{count} frames")]
                self.commands = [f"ds3d localize {self._localized_by()}{_flags(options)}"]
                made_from = fingerprint("localize", options, self._inputs(count))
                self.state.finished("localize", made_from)
                try:
                    finished = self._after(made_from, count)
                except InputError as error:  # too few molecules so far for a step
                    console.messages().print(f"after {count} of {len(source)} frames: {error}", soft_wrap=True)
                else:
                    console.messages().print(f"{count} frames: {self.out / REPORT}", soft_wrap=True)
        except KeyboardInterrupt:
            if finished is not None:
                text = f"{self.out / REPORT} shows what was there; run the same command again to follow on"
                console.messages().print(text, soft_wrap=True)
            raise
        if table is None or finished is None:
            raise InputError(f"{self.frames}: no molecules came; is the recording being written?")
        table.discard()
        return finished

    def _after(self, made_from: str, frame_count: int) -> FinishedRun:
        """Do everything that comes after localization."""
        name, made_from = self._do_table(made_from, frame_count), fingerprint("table", None, made_from)
        ungrouped = name
        for step in STEP_TABLES:
            name, made_from = self._do_step(step, name, made_from)
            ungrouped = name if step != "group" else ungrouped
        self._do("table", None, made_from, [self.out / FINAL], lambda: self._export(name))
        if "quality" in self.plan:
            self._quality(ungrouped, made_from)
        if "render" in self.plan:
            self._render(name, made_from)
        if "report" in self.plan:
            self._report(name, made_from)
        return FinishedRun(self.out, self.steps)

    def _do(
        self,
        step: str,
        options: Options | None,
        made_from: str,
        files: list[Path],
        action: Callable[[], object],
        command: str = "",
    ) -> str:
        """Do a step unless it was done from the same input with the same options; return its fingerprint."""
        mark = fingerprint(step, options, made_from)
        if command:
            self.commands.append(f"ds3d {step} {command}{_flags(options)}")
        if self.state.is_done(step, mark, files):
            self.steps.append((step, "as before"))
            return mark
        action()
        self.state.finished(step, mark)
        self.steps.append((step, "done"))
        return mark

    def _do_table(self, made_from: str, frame_count: int) -> str:
        """Keep what the recording and the model say with the table: pixel, size of the frames, number of frames."""
        self._do("facts", None, made_from, [self.out / TABLE], lambda: self._add_facts(frame_count))
        self.steps.pop()
        return TABLE

    def _add_facts(self, frame_count: int) -> None:
        from ds3d_tf.localization.localizer import Localizer
        from ds3d_tf.postprocessing.molecules.reading import read_molecules

        table = read_molecules(self.out / LOCALIZED)
        shape = self._source().shape
        pixel_nm = round(1000 * Localizer(self.model).setup.optics.pixel_um, 6)
        replace(table, pixel_nm=pixel_nm, frame_shape=shape, frame_count=frame_count).save(self.out / TABLE)

    def _do_step(self, step: str, name: str, made_from: str) -> tuple[str, str]:
        """Do drift, filter or group; return the table that is valid then, and its fingerprint."""
        from ds3d_tf.jobs.drift import drift
        from ds3d_tf.jobs.filter import filter
        from ds3d_tf.jobs.group import group

        if step not in self.plan:
            return name, made_from
        why_not = "" if step in self.plan.asked else self._why_not(step, name)
        if why_not:
            self.steps.append((step, f"skipped: {why_not}"))
            return name, made_from
        options: Any = self.plan.options[step]
        source, target = self.out / name, self.out / STEP_TABLES[step]
        shared: dict[str, Any] = {"overwrite": True, "progress": self.progress}
        files = [target]
        if step == "drift":
            files += [self.out / DRIFT_CURVE, self.out / DRIFT_FIGURE]
            action: Callable[[], object] = lambda: drift(source, target, options, **shared)  # noqa: E731
        elif step == "filter":
            action = lambda: filter(source, target, options, overwrite=True)  # noqa: E731
        else:
            action = lambda: group(source, target, options, **shared)  # noqa: E731
        mark = self._do(step, options, made_from, files, action, f"{name} --out {target.name}")
        return target.name, mark

    def _why_not(self, step: str, name: str) -> str:
        """Return why a step that nobody asked for does not suit this table; empty if it does."""
        from ds3d_tf.postprocessing.molecules.reading import read_molecules

        table = read_molecules(self.out / name)
        if step == "drift":
            if table.frames < FEWEST_FRAMES or len(table) < FEWEST_MOLECULES:
                return f"{len(table)} molecules in {table.frames} frames are too few to measure a drift from"
            return ""
        return "" if table.has_uncertainty else "the table has no uncertainties (localized without --refine)"

    def _export(self, name: str) -> None:
        from ds3d_tf.postprocessing.molecules.reading import read_molecules

        read_molecules(self.out / name).save(self.out / FINAL)

    def _quality(self, name: str, made_from: str) -> None:
        from ds3d_tf.jobs.quality import quality

        options: Any = self.plan.options["quality"]
        target = self.out / QUALITY
        self._do(
            "quality",
            options,
            made_from,
            [target / "metrics.json"],
            lambda: quality(self.out / name, target, options, overwrite=True, progress=self.progress),
            f"{name} --out {QUALITY}",
        )

    def _render(self, name: str, made_from: str) -> None:
        from ds3d_tf.jobs.render import render
        from ds3d_tf.postprocessing.molecules.reading import read_molecules

        options: Any = self.plan.options["render"]
        png, tiff = self.out / PICTURE, self.out / PICTURE_TIFF

        def action() -> None:
            flat = not read_molecules(self.out / name, []).has_z
            own = options.view != RenderOptions.view or options.slice_nm is not None
            sheet = options if own or flat else replace(options, view="all")
            render(self.out / name, png, sheet, overwrite=True, progress=self.progress)
            alone = replace(options, view="xy") if options.view == "all" else options
            render(self.out / name, tiff, alone, overwrite=True, progress=self.progress)

        self._do("render", options, made_from, [png, tiff], action, f"{name} --out {PICTURE}")

    def _report(self, name: str, made_from: str) -> None:
        from ds3d_tf.jobs.report import report

        curve = self.out / DRIFT_CURVE
        given: Any = self.plan.options["report"]
        options = replace(
            given,
            frames=self.frames,
            model=self.model,
            position=self.plan.localize.position,
            channel=self.plan.localize.channel,
            detections=self.out / TABLE,
            drift=curve if self._drifted() else None,
            title=given.title or Path(self.frames).stem,
        )
        shown = f"--frames {self.frames} --model {self.model} --detections {TABLE}"
        shown += f" --drift {DRIFT_CURVE}" if options.drift is not None else ""
        commands = [*self.commands, f"ds3d report {name} --out {REPORT} {shown}{_flags(given)}"]
        self._do(
            "report",
            given,
            made_from,
            [self.out / REPORT],
            lambda: report(
                self.out / name, self.out / REPORT, options, commands=commands, overwrite=True, progress=self.progress
            ),
        )

    def _drifted(self) -> bool:
        return any(step == "drift" and not what.startswith("skipped") for step, what in self.steps)


def _flags(options: Options | None) -> str:
    """Return the options that differ from the command's defaults, as they are typed."""
    if options is None:
        return ""
    texts = []
    known = described(type(options))
    for one in fields(options):
        value = getattr(options, one.name)
        if one.name not in known or value == one.default:
            continue
        flag, _, off = known[one.name][2].flag.partition("/")
        if isinstance(value, bool):
            texts.append(flag if value else off)
        elif isinstance(value, tuple) and value and isinstance(value[0], str):
            texts += [f"{flag} '{text}'" for text in value]
        else:
            shown = " ".join(map(str, value)) if isinstance(value, tuple) else str(value)
            texts.append(f"{flag} {shown}")
    return "".join(f" {text}" for text in texts)
