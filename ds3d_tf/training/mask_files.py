"""A mask as it is learned: its file, and pictures of it and of its point spread function."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import keras
import numpy as np

from ds3d_tf.common.files import whole_file
from ds3d_tf.common.plotting import scale_bar
from ds3d_tf.setup import Setup

SHOWN_Z_POSITIONS = 7
PICTURE_NAME = "epoch_{:04d}.png"


def write_mask(path: str | Path, model: Any) -> None:
    """Write the mask of a ``MaskLearningNet`` as a ``.npy`` file, whole or not at all.

    Raises InputError if the file cannot be written.
    """
    with whole_file(path) as temporary, open(temporary, "wb") as stream:
        np.save(stream, model.mask_rad)


class MaskPictures(keras.callbacks.Callback):
    """Draws mask and point spread function when the run begins and every few epochs: ``epoch_0000.png`` and so on.

    Args:
        folder: folder of the pictures; made if it does not exist.
        setup: the run's ``Setup``.
        every_epochs: epochs from one picture to the next; 0 draws the start only.
    """

    def __init__(self, folder: str | Path, setup: Setup, every_epochs: int = 1) -> None:
        super().__init__()
        self.folder = Path(folder)
        self.setup = setup
        self.every_epochs = every_epochs

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        """Draw the start, unless this run is resumed."""
        if not (self.folder / PICTURE_NAME.format(0)).is_file():
            self._draw(0, None)

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Draw every ``every_epochs`` epochs and after the last one."""
        last = epoch + 1 == self.setup.learning.epochs
        if self.every_epochs and ((epoch + 1) % self.every_epochs == 0 or last):
            self._draw(epoch + 1, (logs or {}).get("val_loss"))

    def _draw(self, epoch: int, validation_loss: float | None) -> None:
        title = f"{self.setup.name}: " + (f"after epoch {epoch}" if epoch else "start")
        if validation_loss is not None:
            title += f", validation loss {float(validation_loss):.4g}"
        draw_mask(self.folder / PICTURE_NAME.format(epoch), self.setup, self.model.mask_rad, title)


def draw_mask(path: str | Path, setup: Setup, mask_rad: np.ndarray, title: str) -> None:
    """Draw a mask and the images of an emitter at several z positions into a PNG, always of the same size.

    Args:
        path: the PNG to write.
        setup: the ``Setup``: optics and depth range.
        mask_rad: float ``[N, N]`` (rows along y, columns along x), rad.
        title: headline.

    Raises InputError if the file cannot be written.
    """
    from matplotlib.figure import Figure

    from ds3d_tf.optics.design_files import show_mask

    z_um, images = images_over_z(setup, mask_rad, SHOWN_Z_POSITIONS)
    # Without a layout engine: every picture of the film has the same layout.
    figure = Figure(figsize=(11, 3.2))
    figure.suptitle(title, fontsize=10)
    phase = figure.add_axes((0.01, 0.06, 0.25, 0.78))
    shown = show_mask(phase, mask_rad, setup.optics)
    bar = figure.colorbar(shown, cax=figure.add_axes((0.255, 0.14, 0.01, 0.62)))
    bar.set_ticks([-np.pi, 0, np.pi], labels=["-π", "0", "π rad"])
    left, width = 0.31, 0.69 / SHOWN_Z_POSITIONS
    for place, (z, image) in enumerate(zip(z_um, images, strict=True)):
        panel = figure.add_axes((left + place * width, 0.22, 0.95 * width, 0.48))
        panel.imshow(image, cmap="inferno", vmin=0)
        panel.set_title(f"{z:.2f} µm", fontsize=8)
        panel.set_axis_off()
        pixel_um = setup.optics.pixel_um
        scale_bar(panel, image.shape[1] * pixel_um, image.shape[0] * pixel_um, 1 / pixel_um)
    note = "images of an emitter at these heights above the coverslip, each scaled to its own peak"
    figure.text(left + 0.34, 0.08, note, fontsize=8, ha="center")
    with whole_file(path) as temporary:
        figure.savefig(temporary, format="png", dpi=80)


def images_over_z(setup: Setup, mask_rad: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Return z positions spread evenly over the depth range, and the image of an emitter of 1 photon at each.

    Args:
        setup: the ``Setup``: optics, depth range and mean blur.
        mask_rad: float ``[N, N]`` (rows along y, columns along x), rad.
        count: number of z positions.

    Returns:
        float64 ``[count]``, µm, and float32 ``[count, H, W]``, photons.
    """
    from ds3d_tf.optics.rendering.exact_or_vectorial import exact_renderer

    z_um = np.linspace(setup.volume.z_min_um, setup.volume.z_max_um, count)
    renderer = exact_renderer(setup.optics, setup.volume, mask_rad)
    blur = np.full(count, np.mean(setup.blur.sigma_range_px))
    return z_um, renderer.psf(np.stack([0 * z_um, 0 * z_um, z_um], axis=1), np.ones(count), blur).numpy()


def write_film(path: str | Path, pictures: Path, seconds: float = 8.0) -> None:
    """Put the pictures of :class:`MaskPictures` together as a GIF that lasts about ``seconds`` and repeats.

    Raises InputError if the file cannot be written.
    """
    from PIL import Image

    frames = [Image.open(file).convert("RGB") for file in sorted(pictures.glob(PICTURE_NAME.replace("{:04d}", "*")))]
    each_ms = int(min(max(1000 * seconds / len(frames), 60), 800))
    times = [each_ms] * (len(frames) - 1) + [2000]
    with whole_file(path) as temporary:
        frames[0].save(temporary, format="GIF", save_all=True, append_images=frames[1:], duration=times, loop=0)
