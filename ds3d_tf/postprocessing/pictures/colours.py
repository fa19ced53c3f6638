"""Colours of depth that are equally bright and equally far apart, and of brightness alone."""

from __future__ import annotations

import numpy as np

_LIGHTNESS, _CHROMA = 0.76, 0.125
_FIRST_HUE, _LAST_HUE = 285.0, 15.0  # degrees: from blue over green to red
_STEPS = 256
_BRIGHTEST_PERCENTILE = 98.0


def depth_map_linear() -> np.ndarray:
    """Return the colours of depth as linear light: float64 ``[256, 3]`` (red, green, blue), 0 to 1, no unit.

    They lie on a line of equal lightness and chroma in OkLab (B. Ottosson, 2020, https://bottosson.github.io/posts/oklab),
    so that only the brightness of a picture says how many molecules there are.
    """
    hue = np.deg2rad(np.linspace(_FIRST_HUE, _LAST_HUE, _STEPS))
    a, b = _CHROMA * np.cos(hue), _CHROMA * np.sin(hue)
    long = (_LIGHTNESS + 0.3963377774 * a + 0.2158037573 * b) ** 3
    medium = (_LIGHTNESS - 0.1055613458 * a - 0.0638541728 * b) ** 3
    short = (_LIGHTNESS - 0.0894841775 * a - 1.2914855480 * b) ** 3
    rgb = np.stack(
        [
            4.0767416621 * long - 3.3077115913 * medium + 0.2309699292 * short,
            -1.2684380046 * long + 2.6097574011 * medium - 0.3413193965 * short,
            -0.0041960863 * long - 0.7034186147 * medium + 1.7076147010 * short,
        ],
        axis=1,
    )
    return np.asarray(rgb.clip(0, 1))


def to_display(linear: np.ndarray) -> np.ndarray:
    """Return linear light as sRGB values.

    Args:
        linear: float ``[...]`` of any shape, values 0 to 1.

    Returns:
        float32 of the same shape, values 0 to 1.
    """
    low = np.asarray(linear).clip(0, 1)
    return np.asarray(np.where(low <= 0.0031308, 12.92 * low, 1.055 * low ** (1 / 2.4) - 0.055), np.float32)


def depth_weights(depth_nm: np.ndarray, limits_nm: tuple[float, float]) -> np.ndarray:
    """Return the linear colour of each depth.

    Args:
        depth_nm: float ``[N]``, nm.
        limits_nm: depths of the first and the last colour, nm.

    Returns:
        float32 ``[N, 3]`` (red, green, blue), 0 to 1, no unit.
    """
    low, high = limits_nm
    place = np.nan_to_num((depth_nm - low) / max(high - low, 1e-9), nan=0.5).clip(0, 1)
    return depth_map_linear().astype(np.float32)[np.rint(place * (_STEPS - 1)).astype(np.int64)]


def saturation_level(counts: np.ndarray) -> float:
    """Return the number of molecules per pixel at which a picture is as bright as it gets; no unit.

    Args:
        counts: float ``[rows, columns]``, molecules per pixel (no unit).
    """
    lit = counts[counts > 0]
    if not lit.size:
        return 1.0
    lit = lit[lit > 0.05 * lit.mean()]
    return float(np.percentile(lit, _BRIGHTEST_PERCENTILE))


def coloured(planes: np.ndarray, level: float, gamma: float) -> np.ndarray:
    """Return a picture to look at: brightness from the number of molecules, hue from their mean depth.

    Args:
        planes: float32 ``[4, rows, columns]``: number of molecules, then sums of their linear colours; or ``[1, …]``,
            which becomes a picture in one perceptually even map (no unit).
        level: molecules per pixel that are as bright as it gets.
        gamma: exponent of the brightness; below 1 shows faint parts.

    Returns:
        uint8 ``[rows, columns, 3]`` (red, green, blue), sRGB values.
    """
    bright = np.sqrt if gamma == 0.5 else (lambda share: share**gamma)
    shown = np.empty((*planes.shape[1:], 3), np.uint8)
    table = _inferno() if len(planes) == 1 else None
    for start in range(0, planes.shape[1], 256):  # a few rows at a time keeps the memory small
        part = planes[:, start : start + 256]
        brightness = bright((part[0] / level).clip(0, 1))
        if table is not None:
            shown[start : start + 256] = table[np.rint(brightness * 255).astype(np.int64)]
        else:
            mean = part[1:] / np.maximum(part[0], 1e-12)
            picture = to_display(mean) * brightness
            shown[start : start + 256] = np.rint(picture * 255).astype(np.uint8).transpose(1, 2, 0)
    return shown


def _inferno() -> np.ndarray:
    from matplotlib import colormaps

    return np.rint(colormaps["inferno"](np.arange(256))[:, :3] * 255).astype(np.uint8)
