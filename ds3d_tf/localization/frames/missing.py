"""What is missing of a recording: said when it is opened, not only when its frame is reached."""

from __future__ import annotations

from ds3d_tf.common.errors import InputError


def refuse_or_remark(missing: str | None, keep_damaged: bool) -> tuple[str, ...]:
    """Return what a user should know about a recording of which something is missing.

    Args:
        missing: what and where, one sentence without its stop; None: nothing.
        keep_damaged: whether the frames that are missing count as damaged ones.

    Raises InputError if something is missing and its frames do not count as damaged ones.
    """
    if missing is None:
        return ()
    if not keep_damaged:
        raise InputError(
            f"{missing}; copy the recording again, or localize its other frames with --skip-damaged of `ds3d localize`"
        )
    return (f"{missing}; such frames count as damaged",)
