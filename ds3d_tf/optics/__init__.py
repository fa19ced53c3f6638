"""Light from an emitter to the camera: pupil, phase masks, renderers."""
