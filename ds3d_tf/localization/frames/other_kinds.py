"""Files of other programs: those that are read, and what to convert the others to."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from ds3d_tf.localization.frames.choice import Choice
from ds3d_tf.localization.frames.tiff import UnreadableKind

if TYPE_CHECKING:
    from ds3d_tf.localization.frames.source import FrameReader

_FIJI = "save it as a TIFF stack with Fiji (File > Import > Bio-Formats, then File > Save As > Tiff)"
_CONVERT = {
    ".oif": f"an Olympus file; {_FIJI}",
    ".oib": f"an Olympus file; {_FIJI}",
    ".vsi": f"an Olympus file; {_FIJI}",
    ".spe": f"a Princeton Instruments file; {_FIJI}",
    ".raw": "pixels without a description; import it into Fiji (File > Import > Raw) and save it as a TIFF stack",
    ".bin": "pixels without a description; import it into Fiji (File > Import > Raw) and save it as a TIFF stack",
    ".dat": "pixels without a description; import it into Fiji (File > Import > Raw) and save it as a TIFF stack",
    ".his": f"a Hamamatsu file; {_FIJI}",
    ".dcimg": "a Hamamatsu file; export it as TIFF in HCImage or HOKAWO",
    ".fits": f"a FITS file; {_FIJI}",
    ".h5": "an HDF5 file; save its frames as a TIFF stack, or as .npy [frame, row, column]",
    ".hdf5": "an HDF5 file; save its frames as a TIFF stack, or as .npy [frame, row, column]",
    ".mat": "a MATLAB file; save its frames as a TIFF stack, or as .npy [frame, row, column]",
    ".avi": "a film; save it as a TIFF stack with Fiji, if it was never compressed",
    ".mp4": "a film, whose compression changes the pixels; record a TIFF stack",
    ".png": "a picture; save the raw frames as TIFF",
    ".jpg": "a picture, whose compression changes the pixels; save the raw frames as TIFF",
    ".jpeg": "a picture, whose compression changes the pixels; save the raw frames as TIFF",
}


def open_other_kind(path: Path, choice: Choice) -> FrameReader | None:
    """Return the reader of a file that is neither TIFF nor NumPy by its name's ending; None if the ending is unknown.

    Raises UnreadableKind that says what to convert it to.
    """
    ending = path.suffix.lower()
    if ending == ".ims":
        from ds3d_tf.localization.frames.imaris import ImarisFrames

        return ImarisFrames(path, choice)
    if ending == ".dax":
        from ds3d_tf.localization.frames.dax import DaxFrames

        return DaxFrames(path, choice)
    if ending == ".nd2":
        from ds3d_tf.localization.frames.nikon import NikonFrames

        return NikonFrames(path, choice)
    if ending == ".czi":
        from ds3d_tf.localization.frames.zeiss import ZeissFrames

        return ZeissFrames(path, choice)
    if ending == ".lif":
        from ds3d_tf.localization.frames.leica import LeicaFrames

        return LeicaFrames(path, choice)
    if ending == ".sif":
        from ds3d_tf.localization.frames.andor import AndorFrames

        return AndorFrames(path, choice)
    if ending in _CONVERT:
        raise UnreadableKind(f"{path}: {_CONVERT[ending]}")
    return None
