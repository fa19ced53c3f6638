"""What setup.cfg cannot say: the shipped models are a folder of the checkout and a package of the wheel."""

import re
from pathlib import Path

from setuptools import find_packages, setup


def description() -> str:
    """Return the README for a package index, where pictures and pages of this repository cannot be reached."""
    text = Path(__file__).with_name("README.md").read_text(encoding="utf-8")
    text = re.sub(r"!\[[^\]]*\]\((?!https?:)[^)]*\)\n*", "", text)
    return re.sub(r"\[([^\]]*)\]\((?!https?:|#)[^)]*\)", r"\1", text)


setup(
    long_description=description(),
    packages=[*find_packages(include=["ds3d_tf", "ds3d_tf.*"]), "ds3d_tf.exported_models"],
    package_dir={"ds3d_tf.exported_models": "exported_models"},
    package_data={
        "ds3d_tf": ["py.typed"],
        "ds3d_tf.setup": ["presets/*.yaml", "spaces/*.yaml"],
        "ds3d_tf.optics": ["designs/*.yaml"],
        "ds3d_tf.export": ["*.md"],
        "ds3d_tf.postprocessing.report": ["page/*"],
        "ds3d_tf.exported_models": ["**/*"],
    },
)
