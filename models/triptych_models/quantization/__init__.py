"""An encoder in int8, made of its own weights: no torch, and no other quantizer."""

from triptych_models.quantization.calibration import calibration_texts
from triptych_models.quantization.graphs import int8_graphs
from triptych_models.quantization.measuring import measure_int8

__all__ = ["calibration_texts", "int8_graphs", "measure_int8"]
