"""Lets the optics tests import their second implementation of the model."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
