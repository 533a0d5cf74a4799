"""One inference of the Silero voice activity detector, as a session makes it 31 times a second."""

from __future__ import annotations

import numpy as np
from livekit.plugins import silero
from livekit.plugins.silero.onnx_model import OnnxModel


def infer(vad: silero.VAD) -> float:
    """The probability of speech in 32 ms of silence."""
    model = OnnxModel(onnx_session=vad._onnx_session, sample_rate=16000)
    return float(model(np.zeros(512, dtype=np.float32)))
