"""What setup.cfg cannot say: the shipped models are a folder of the checkout and a package of the wheel."""

from setuptools import find_packages, setup

setup(
    packages=[*find_packages(include=["ds3d_tf", "ds3d_tf.*"]), "ds3d_tf.exported_models"],
    package_dir={"ds3d_tf.exported_models": "exported_models"},
    package_data={
        "ds3d_tf": ["py.typed"],
        "ds3d_tf.setup": ["presets/*.yaml", "spaces/*.yaml"],
        "ds3d_tf.optics": ["designs/*.yaml"],
        "ds3d_tf.export": ["*.md"],
        "ds3d_tf.exported_models": ["**/*"],
    },
)
