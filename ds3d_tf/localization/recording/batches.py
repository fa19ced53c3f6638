"""Frames of a recording localized in order, by this process or by the workers of a Dask cluster."""

from __future__ import annotations

import contextlib
import itertools
import logging
import math
import os
import threading
import time
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from ds3d_tf.common.errors import InputError, argument
from ds3d_tf.common.machine import cores
from ds3d_tf.common.quiet import quiet_tensorflow
from ds3d_tf.localization.localizations import Localizations
from ds3d_tf.localization.recording.identity import checksums

if TYPE_CHECKING:
    from ds3d_tf.localization.frames.read_ahead import FrameBatch
    from ds3d_tf.localization.frames.source import FrameSource
    from ds3d_tf.localization.localizer import Localizer

_CHUNKS_A_WORKER = 8
_MOST_BATCHES_A_CHUNK = 32
_SECONDS_FOR_WORKERS = 60
_SECONDS_BETWEEN_LOOKS = 1.0
_SECONDS_FOR_AN_ANSWER = 20.0
_SECONDS_WITHOUT_WORKERS = float(os.environ.get("DS3D_SECONDS_WITHOUT_WORKERS", 30))


class Refine(Protocol):
    """What may be done to the localizations of some frames before they are written."""

    def __call__(self, frames: np.ndarray, found: Localizations, mask_rad: np.ndarray) -> Localizations:
        """Return better localizations of frames float32 ``[F, H, W]`` (counts), the first of which has number 1.

        ``mask_rad`` is the model's phase mask, float64 ``[N, N]``, rad.
        """


@dataclass(frozen=True)
class Work:
    """What a process must know to localize frames: a model, a recording and options; all of it can be sent."""

    model: str
    frames: str
    threshold: float
    radius_voxels: int
    batch_size: int
    skip_damaged: bool
    memory_gb: float
    precision: str
    refine: Refine | None = None
    position: str | None = None
    channel: str | None = None


@dataclass(frozen=True, eq=False)
class Finished:
    """Localizations of frames that follow one another.

    Attributes:
        next_frame: index of the first frame after them.
        localizations: of these frames; None: nothing new yet.
        damaged: what is wrong with each frame skipped, by index.
        checksums: of these frames' pixels, 0 for those skipped.
    """

    next_frame: int
    localizations: Localizations | None
    damaged: dict[int, str] = field(default_factory=dict)
    checksums: tuple[int, ...] = ()


def localized_here(
    work: Work, source: FrameSource, localizer: Localizer, start: int, stop: int | None = None
) -> Iterator[Finished]:
    """Yield the frames from ``start`` to ``stop`` (exclusive; None: all) batch by batch, in order.

    Raises InputError at a damaged frame unless these are skipped; the frames before it are yielded first.
    """
    batches = _with_context(work, source, localizer, start, stop)
    failure: InputError | None = None
    while failure is None:
        # Frames are refined side by side: as many as there are cores, even where batches are of one frame.
        group: list[tuple[FrameBatch, Localizations]] = []
        try:
            while sum(len(batch.indices) for batch, _ in group) < (1 if work.refine is None else cores()):
                following = next(batches, None)
                if following is None:
                    break
                frames, context, batch = following
                # Models of single frames need not know of neighbours.
                beside = {"context": context} if any(context) else {}
                rows = localizer.rows(frames, work.threshold, work.radius_voxels, **beside) if batch.indices else []
                group.append((batch, Localizations.from_rows(rows, source.shape, localizer.setup)))
        except InputError as error:  # what was read before it comes first
            failure = error
        if not group:
            break
        for batch, found in _refined(group, work.refine, localizer.mask_rad):
            after = batch.first + batch.count
            yield Finished(after, found.renumbered(batch.indices), batch.damaged, checksums(batch))
    if failure is not None:
        raise failure


def _with_context(
    work: Work, source: FrameSource, localizer: Localizer, start: int, stop: int | None
) -> Iterator[tuple[np.ndarray, tuple[int, int], FrameBatch]]:
    """Yield batches with their frames; these include the neighbours for a network that sees several frames at once."""
    from ds3d_tf.localization.frames.read_ahead import read_ahead
    from ds3d_tf.localization.neighbours import with_neighbours

    def read() -> Iterator[FrameBatch]:
        return read_ahead(source, work.batch_size, start=start, stop=stop, skip_damaged=work.skip_damaged)

    if localizer.context_frames == 1:
        yield from ((batch.frames, (0, 0), batch) for batch in read())
        return

    def nearest(indices: range) -> np.ndarray | None:
        """Return the first of some frames that can be read, if there is one."""
        for index in indices:
            try:
                return source.read(index)
            except InputError:
                if not work.skip_damaged:
                    return None
        return None

    # Only while no other thread reads; the same frames as in a job that was not interrupted or divided.
    before = nearest(range(start - 1, -1, -1))
    end = len(source) if stop is None else stop
    failure: list[InputError] = []

    def readable() -> Iterator[tuple[np.ndarray, FrameBatch]]:
        try:
            for batch in read():
                yield batch.frames, batch
        except InputError as error:  # what was read before it comes first
            failure.append(error)

    yield from with_neighbours(readable(), before, lambda: nearest(range(end, len(source))))
    if failure:
        raise failure[0]


def _refined(
    group: list[tuple[FrameBatch, Localizations]], refine: Refine | None, mask_rad: np.ndarray
) -> Iterator[tuple[FrameBatch, Localizations]]:
    """Yield batches with their localizations, refined all together if asked."""
    frames = [frame for batch, _ in group for frame in batch.frames]
    if refine is None or not frames:
        yield from group
        return
    ends = np.cumsum([len(batch.indices) for batch, _ in group]).tolist()
    spans = list(zip([0, *ends[:-1]], ends, strict=True))
    numbered = [found.renumbered(range(*span)) for (_, found), span in zip(group, spans, strict=True)]
    better = refine(np.stack(frames), Localizations.joined(numbered), mask_rad)
    for (batch, _), (first, last) in zip(group, spans, strict=True):
        own = better.where((better.frame > first) & (better.frame <= last))
        yield batch, replace(own, frame=own.frame - first)


def localized_by_dask(work: Work, where: str, start: int, stop: int) -> Iterator[Finished]:
    """Yield the frames from ``start`` to ``stop`` (exclusive) in order, chunk by chunk, localized by Dask workers.

    Batches are those of a single process, so the results are, too. What a lost worker had started is done again by
    another one.

    Args:
        work: what to do; model and recording must have the same path on every worker.
        where: address of a scheduler, or "local" or "local:N" for N worker processes on this machine.
        start: index of the first frame.
        stop: index of the frame after the last one.

    Raises InputError if the cluster cannot be reached or fails, or at a damaged frame as above.
    """
    with _client(where) as client:
        from distributed import KilledWorker

        workers = max(len(client.nthreads()), 1)
        batches = math.ceil((stop - start) / work.batch_size / (workers * _CHUNKS_A_WORKER))
        chunk = work.batch_size * min(max(batches, 1), _MOST_BATCHES_A_CHUNK)
        edges = iter(range(start, stop, chunk))
        waiting: deque[Any] = deque()
        at = start
        while True:
            # A few chunks ahead only: results wait in the cluster's memory until they are written in order.
            for first in itertools.islice(edges, 3 * workers + 1 - len(waiting)):
                waiting.append(
                    client.submit(_chunk, work, first, min(first + chunk, stop), pure=False, priority=-first)
                )
            if not waiting:
                return
            future = waiting.popleft()
            try:
                yield from _until_done(client, future, where, at)
                finished, error = future.result()
            except KilledWorker as failure:
                raise InputError(
                    f"{argument('dask')} {where}: the same frames ended several workers ({failure}); "
                    f"give them less {argument('memory_gb')}"
                ) from failure
            except InputError:
                raise
            except _lost_errors() as failure:
                raise InputError(
                    f"{argument('dask')} {where}: the connection to the scheduler is lost; start the scheduler and its "
                    "workers again, or leave the option out"
                ) from failure
            except Exception as failure:  # whatever a worker's machine lacks
                reason = (str(failure) or type(failure).__name__).splitlines()[0]
                raise InputError(f"{argument('dask')} {where}: a worker failed: {reason}") from failure
            yield from finished
            at = finished[-1].next_frame if finished else at
            if error is not None:
                raise InputError(error)


def _until_done(client: Any, future: Any, where: str, at: int) -> Iterator[Finished]:
    """Yield nothing new while a chunk is awaited, so that who asks may stop; raises InputError without workers."""
    alone_since: float | None = None
    while not future.done():
        with contextlib.suppress(TimeoutError):
            future.exception(timeout=_SECONDS_BETWEEN_LOOKS)
        if future.done():
            return
        yield Finished(at, None)
        if _has_workers(client):
            alone_since = None
        elif alone_since is None:
            alone_since = time.monotonic()
        elif time.monotonic() - alone_since > _SECONDS_WITHOUT_WORKERS:
            raise InputError(
                f"{argument('dask')} {where}: all workers are gone; start workers again (not enough memory? give them "
                f"more, or less {argument('memory_gb')}), or leave the option out"
            )


def _has_workers(client: Any) -> bool:
    """Return whether the scheduler answers and has workers; raises ConnectionError if it has gone for good."""
    if client.status == "closed":
        raise ConnectionError("closed")
    try:
        return bool(client.sync(client.scheduler.ncores, workers=None, callback_timeout=_SECONDS_FOR_AN_ANSWER))
    except _lost_errors() as error:
        raise ConnectionError(str(error)) from error
    except (OSError, TimeoutError) as error:
        raise ConnectionError("no answer") from error


def _lost_errors() -> tuple[type[BaseException], ...]:
    """Return the errors that mean that the scheduler no longer answers."""
    import asyncio
    import concurrent.futures

    from distributed.comm import CommClosedError

    return CommClosedError, asyncio.CancelledError, concurrent.futures.CancelledError, ConnectionError


def check_dask(where: str) -> None:
    """Raise InputError if ``where`` is not a place for work, or Dask is not installed."""
    _local_workers(where)
    try:
        import distributed  # noqa: F401
    except ImportError as error:
        raise InputError(f"{argument('dask')}: Dask is not installed; pip install 'ds3d-tf[dask]'") from error


def _local_workers(where: str) -> int | None:
    """Return the number of workers that "local" or "local:N" asks for, None for a scheduler's address."""
    name, _, number = where.partition(":")
    if name != "local":
        if ":" not in where:
            raise InputError(
                f"{argument('dask')} {where}: expected a scheduler such as tcp://host:8786, local or local:N"
            )
        return None
    if not number:
        return max((os.cpu_count() or 2) // 2, 1)
    if not number.isdigit() or int(number) < 1:
        raise InputError(f"{argument('dask')} {where}: expected local:N with N workers, 1 or more")
    return int(number)


@contextlib.contextmanager
def _client(where: str) -> Iterator[Any]:
    check_dask(where)
    import distributed

    # Lost workers are no news to a person whose job continues without them.
    for name in ("distributed", "tornado.application", "asyncio"):
        logging.getLogger(name).setLevel(logging.CRITICAL)
    workers = _local_workers(where)
    with contextlib.ExitStack() as stack:
        try:
            if workers is None:
                client = stack.enter_context(distributed.Client(where, timeout=10, set_as_default=False))
                client.wait_for_workers(1, timeout=_SECONDS_FOR_WORKERS)
            else:
                cores = max((os.cpu_count() or 1) // workers, 1)
                cluster = stack.enter_context(
                    distributed.LocalCluster(
                        n_workers=workers,
                        threads_per_worker=1,
                        processes=True,
                        dashboard_address="127.0.0.1:0",
                        memory_limit=0,
                        silence_logs=logging.CRITICAL,
                        env={"TF_NUM_INTRAOP_THREADS": str(cores), "TF_CPP_MIN_LOG_LEVEL": "3"},
                    )
                )
                client = stack.enter_context(distributed.Client(cluster, set_as_default=False))
        except (OSError, TimeoutError, ValueError) as error:
            raise InputError(f"{argument('dask')} {where}: no scheduler with workers answers there") from error
        yield client


# One model and recording at a time in a worker; TIFF readers are not made for several threads.
_loaded: dict[tuple[Work, float], tuple[Any, Any]] = {}
_lock = threading.Lock()


def _chunk(work: Work, start: int, stop: int) -> tuple[list[Finished], str | None]:
    """Localize a chunk in a worker; returns what was done and, if it ended early, why."""
    quiet_tensorflow()
    with _lock:
        source, localizer = _load(work)
        finished: list[Finished] = []
        try:
            finished.extend(localized_here(work, source, localizer, start, stop))
        except InputError as error:
            return finished, str(error)
        return finished, None


def _load(work: Work) -> tuple[Any, Any]:
    from ds3d_tf.localization.engines.engine import model_file
    from ds3d_tf.localization.frames.source import open_frames
    from ds3d_tf.localization.localizer import Localizer

    # A model that was exported again under the same name is another one.
    key = work, model_file(work.model).stat().st_mtime
    if key not in _loaded:
        _loaded.clear()
        localizer = Localizer(work.model, memory_gb=work.memory_gb, precision=work.precision)
        source = open_frames(work.frames, work.skip_damaged, position=work.position, channel=work.channel)
        _loaded[key] = source, localizer
    return _loaded[key]
