"""The Fourier grid of a setup: how many camera pixels the transform from the pupil to the camera spans."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ds3d_tf.setup.sections import OpticsSection

MAX_PIXEL_MISMATCH = 0.005
_SAME = 1e-9


def fft_grid_px(fft_size_px: float, mask_size_px: int) -> int:
    """Return the side of the FFT grid: the mask padded by round((S - N) / 2) on each side.

    Args:
        fft_size_px: S, the size for which one FFT sample is one camera pixel (need not be whole).
        mask_size_px: N, side of the phase mask, SLM pixels.
    """
    return mask_size_px + 2 * round((fft_size_px - mask_size_px) / 2)


def fourier_period_px(optics: OpticsSection, mask_size_px: int) -> float:
    """Return G, the camera pixels after which the transform of SLM pixels repeats.

    That is S = λ f / (slm_pixel camera_pixel), or for ``optics.fourier_grid: rounded`` the FFT grid nearest to it.

    Args:
        optics: the setup's optics section.
        mask_size_px: N, side of the phase mask, SLM pixels.
    """
    wanted = optics.fft_size_px
    nearest = fft_grid_px(wanted, mask_size_px)
    same = abs(nearest - wanted) < _SAME * wanted
    return nearest if same or optics.fourier_grid == "rounded" else wanted


def light_outside_grid(optics: OpticsSection, mask_size_px: int) -> str | None:
    """Return why the camera cannot sample the light of a mask of this size, or None if it can.

    Args:
        optics: the setup's optics section.
        mask_size_px: N, side of the phase mask, SLM pixels.
    """
    grid = fourier_period_px(optics, mask_size_px)
    if optics.fourier_grid == "rounded" and mask_size_px > grid:
        return (
            f"mask.size_px: got {mask_size_px}, larger than the Fourier grid of {optics.fft_size_px:.1f} samples that "
            "makes one sample one camera pixel (λ f / (slm_pixel camera_pixel)); crop the mask, use a smaller "
            "optics.slm_pixel_um or set optics.fourier_grid=exact"
        )
    if min(mask_size_px, optics.pupil_diameter_px) > grid:
        return (
            f"optics.camera_pixel_um: got {optics.camera_pixel_um:g}, larger than the finest detail of the light on "
            "the chip, λ / (2 NA) times the magnification; correct the optics section"
        )
    return None
