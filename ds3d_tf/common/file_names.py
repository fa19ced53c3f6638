"""Names of the files and folders of models, runs and evaluations: each name stands here once."""

from __future__ import annotations

# A model folder.
NETWORK_FILE = "model.keras"
SETUP_FILE = "setup.yaml"
MASK_FILE = "mask.npy"
CARD_FILE = "card.md"
SAVED_MODEL_FOLDER = "saved_model"

# A SavedModel, and what its ``assets`` say of the network.
GRAPH_FILE = "saved_model.pb"
NETWORK_FACTS_FILE = "network.json"

# A run folder has these besides.
BEST_JACCARD_FILE = "best_jaccard.keras"
CHECKPOINT_FILE = "checkpoint.npz"
HISTORY_FILE = "history.csv"
CURVES_FILE = "curves.png"
LOGS_FOLDER = "logs"
EVALUATION_FOLDER = "evaluation"

# An evaluation, and the sample of an exported model.
METRICS_FILE = "metrics.json"
LOCALIZATIONS_FILE = "localizations.csv"
TRUTH_FILE = "truth.csv"
