"""The job of `ds3d serve-client`: a recording in, a server's localizations in a table out."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from concurrent.futures import TimeoutError as NotYet
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ds3d_tf.common import console
from ds3d_tf.common.errors import InputError, argument
from ds3d_tf.common.lock import only_process
from ds3d_tf.common.optional import require
from ds3d_tf.common.options import takes_options
from ds3d_tf.common.progress import Progress, no_progress
from ds3d_tf.localization.localizations import Localizations
from ds3d_tf.localization.recording.batches import Finished, Refine
from ds3d_tf.localization.recording.fill import (
    LocalizedRecording,
    check_outputs,
    fill_table,
    finished_by_a_killed_process,
)
from ds3d_tf.localization.recording.identity import checksums
from ds3d_tf.options import ServeClientOptions
from ds3d_tf.serving.client.connection import Retries, open_connection, parse_address

if TYPE_CHECKING:
    from ds3d_tf.localization.frames.read_ahead import FrameBatch
    from ds3d_tf.localization.frames.source import FrameSource
    from ds3d_tf.serving.client.remote_model import RemoteModel

_SECONDS_BETWEEN_SIGNS_OF_LIFE = 0.5


@takes_options(ServeClientOptions)
def serve_client(
    server: str,
    model: str,
    frames: str | Path,
    out: str | Path,
    options: ServeClientOptions,
    *,
    overwrite: bool = False,
    progress: Progress = no_progress,
) -> LocalizedRecording:
    """Localize the emitters of a recording by a prediction server into a table.

    The table is that of ``localize`` with the same model on the same kind of machine; an interrupted job is resumed
    when it is started again.

    Args:
        server: host:port or grpcs://… for gRPC, http://… or https://… for REST.
        model: name of the model on the server.
        frames: recording, in any form that ``open_frames`` reads.
        out: table to write.
        options: see :class:`~ds3d_tf.options.ServeClientOptions`; its fields may be given as keywords instead.
        overwrite: whether to replace an earlier table.
        progress: told how many frames are done.

    Raises InputError for a server, model, recording, option or output that cannot be used.
    """
    out = check_outputs(out, overwrite)
    if parse_address(server)[0].startswith("grpc"):
        require("gRPC", "serving", "grpc", "tensorflow_serving")

    from ds3d_tf.localization.localizer import checked_options
    from ds3d_tf.localization.recording.identity import open_table, recording_facts
    from ds3d_tf.localization.recording.opening import open_recording
    from ds3d_tf.localization.tables.tables import COLUMNS, MEASURED_COLUMNS, REFINED_COLUMNS
    from ds3d_tf.refinement.preparation import chosen
    from ds3d_tf.refinement.refiner import RefineOptions, make_refiner, with_the_noise_of
    from ds3d_tf.serving.client.remote_model import RemoteModel
    from ds3d_tf.serving.limits import read_token

    source = open_recording(frames, options, keep_damaged=options.skip_damaged)
    shape = source.shape
    token = None if options.token_file is None else read_token(options.token_file)
    connection = open_connection(server, options.timeout_s, _certificates(options.root_certificates), token)
    messages = console.messages()
    retries = Retries(server, options.patience_s, lambda text: messages.print(text, soft_wrap=True))
    try:
        remote = RemoteModel(connection, retries, model, options.version)
        remote.check_shape(shape, str(frames))
        threshold, radius_voxels = checked_options(remote.setup, options.threshold, options.radius_voxels)
        refiner, why_not = make_refiner(
            options.refine, remote.setup, remote.mask_rad, RefineOptions(options.false_alarms)
        )
        if why_not:
            messages.print(why_not, soft_wrap=True)
        identity = {
            "served model": remote.fingerprint(),
            **chosen(options.position, options.channel),
            "threshold": threshold,
            "radius": radius_voxels,
            **({"refined": True, "false alarms": options.false_alarms} if refiner else {}),
        }
        with only_process(out.with_name(f"{out.stem}.partial.lock"), str(out)):
            facts = recording_facts(identity, frames, source)
            done = finished_by_a_killed_process(out, overwrite, facts)
            if done is not None:
                return done
            measured = MEASURED_COLUMNS if remote.setup.learning.network == "pixel" else ()
            columns = COLUMNS + (REFINED_COLUMNS if refiner else measured)
            table = open_table(out, identity, frames, source, columns=columns, overwrite=overwrite, grown=options.grown)
            notes = None
            if refiner:
                refiner, notes = with_the_noise_of(source, refiner, remote.setup, remote.mask_rad, progress)
            work = _Work(remote, retries, threshold, radius_voxels, options.in_flight, options.skip_damaged, refiner)
            parts = work.finished(source, table.next_frame)
            return fill_table(parts, source, table, remote.setup, out, progress=progress, notes=notes)
    finally:
        retries.closed.set()
        connection.close()


class _Work:
    """Sends batches of a recording, several at a time, and takes the answers in order."""

    def __init__(
        self,
        remote: RemoteModel,
        retries: Retries,
        threshold: float,
        radius_voxels: int,
        in_flight: int,
        skip_damaged: bool,
        refine: Refine | None,
    ) -> None:
        self._remote, self._retries = remote, retries
        self._threshold, self._radius_voxels = threshold, radius_voxels
        self._in_flight, self._skip_damaged, self._refine = in_flight, skip_damaged, refine

    def finished(self, source: FrameSource, start: int) -> Iterator[Finished]:
        """Yield the frames from ``start`` batch by batch, in order; raises InputError as reading or the server does."""
        from ds3d_tf.localization.frames.read_ahead import read_ahead

        batches = read_ahead(
            source, self._remote.batch_size(source.shape), start=start, skip_damaged=self._skip_damaged
        )
        waiting: deque[tuple[FrameBatch, Future[list[np.ndarray]] | None]] = deque()
        pool = ThreadPoolExecutor(self._in_flight, thread_name_prefix="request")
        at, failure = start, None
        try:
            while True:
                try:
                    batch = next(batches, None)
                except InputError as error:  # what was read before it is still to be had
                    batch, failure = None, error
                if batch is not None:
                    waiting.append((batch, self._submit(pool, batch)))
                while waiting and (batch is None or len(waiting) > self._in_flight):
                    first, answer = waiting.popleft()
                    yield from self._until_there(answer, at)
                    rows = answer.result() if answer is not None else []
                    found = Localizations.from_rows(rows, source.shape, self._remote.setup)
                    mask_rad = self._remote.mask_rad
                    if self._refine is not None and mask_rad is not None and first.indices:
                        found = self._refine(first.frames, found, mask_rad)
                    at = first.first + first.count
                    yield Finished(at, found.renumbered(first.indices), first.damaged, checksums(first))
                if batch is None:
                    break
        finally:
            self._retries.closed.set()
            pool.shutdown(wait=False, cancel_futures=True)
        if failure is not None:
            raise failure

    def _submit(self, pool: ThreadPoolExecutor, batch: FrameBatch) -> Future[list[np.ndarray]] | None:
        if not batch.indices:
            return None
        return pool.submit(self._remote.localize, batch.frames, self._threshold, self._radius_voxels)

    def _until_there(self, answer: Future[Any] | None, at: int) -> Iterator[Finished]:
        """Yield nothing new while an answer is awaited, so that who asks for it may stop."""
        while answer is not None:
            try:
                answer.exception(timeout=_SECONDS_BETWEEN_SIGNS_OF_LIFE)
                return
            except NotYet:
                yield Finished(at, None)


def _certificates(path: str | Path | None) -> bytes | None:
    if path is None:
        return None
    try:
        return Path(path).expanduser().read_bytes()
    except OSError as error:
        raise InputError(
            f"{argument('root_certificates')} {path}: {(error.strerror or 'cannot be read').lower()}"
        ) from error
