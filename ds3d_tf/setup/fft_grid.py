"""The Fourier grid of a setup: one sample is one camera pixel."""

from __future__ import annotations

MAX_PIXEL_MISMATCH = 0.005


def fft_grid_px(fft_size_px: float, mask_size_px: int) -> int:
    """Return the side of the FFT grid: the mask padded by round((S - N) / 2) on each side.

    Args:
        fft_size_px: S, the size for which one FFT sample is one camera pixel (need not be whole).
        mask_size_px: N, side of the phase mask, SLM pixels.
    """
    return mask_size_px + 2 * round((fft_size_px - mask_size_px) / 2)
