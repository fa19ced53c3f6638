"""What each command may be told: one options class a job, whose fields carry type, default and help."""

from ds3d_tf.options.calibrate import (
    CrlbOptions,
    DesignMaskOptions,
    DesignOptions,
    EstimateNoiseOptions,
    FitOptions,
    PrepareOptions,
    RetrieveMaskOptions,
)
from ds3d_tf.options.learn import ImportWeightsOptions, LearnMaskOptions, SimulateOptions, TrainOptions, TuneOptions
from ds3d_tf.options.post import (
    DriftOptions,
    FilterOptions,
    GroupOptions,
    QualityOptions,
    RenderOptions,
    ReportOptions,
    RunOptions,
)
from ds3d_tf.options.use import (
    BenchmarkOptions,
    EvaluateOptions,
    ExportOptions,
    LocalizeOptions,
    ServeClientOptions,
    ServeOptions,
    Sizes,
)

__all__ = [
    "BenchmarkOptions",
    "CrlbOptions",
    "DesignMaskOptions",
    "DesignOptions",
    "DriftOptions",
    "EstimateNoiseOptions",
    "EvaluateOptions",
    "ExportOptions",
    "FilterOptions",
    "FitOptions",
    "GroupOptions",
    "ImportWeightsOptions",
    "LearnMaskOptions",
    "LocalizeOptions",
    "PrepareOptions",
    "QualityOptions",
    "RenderOptions",
    "ReportOptions",
    "RetrieveMaskOptions",
    "RunOptions",
    "ServeClientOptions",
    "ServeOptions",
    "SimulateOptions",
    "Sizes",
    "TrainOptions",
    "TuneOptions",
]
