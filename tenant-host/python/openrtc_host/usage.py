"""What a session used, said and felt like, from livekit-agents' own events.

Owns: the translation into the host protocol's session events, and whose a metric is. Never: lets one session's tokens
count for another, though both may speak through one plugin object.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from typing import Any

from livekit import rtc

from openrtc_host import adapter

Emit = Callable[[dict[str, Any]], None]

#: Bounds of the protocol: text of a turn, and an error's.
TEXT_CHARACTERS_MAX = 15_000
ERROR_CHARACTERS_MAX = 500


def error_text(error: Any) -> str:
    """One line about a plugin's error: which plugin, and what it said."""
    inner = getattr(error, "error", None) or error
    label = getattr(error, "label", "") or ""
    said = f"{type(inner).__name__}: {inner}" if isinstance(inner, BaseException) else str(inner)
    return f"{label}: {said}"[:ERROR_CHARACTERS_MAX] if label else said[:ERROR_CHARACTERS_MAX]


class Telemetry:
    """The events of one session; attached to every `AgentSession` that its code starts."""

    def __init__(self, emit: Emit, context: Any) -> None:
        self._emit, self._context = emit, context
        self._began = time.time()
        self._used = {"llm_tokens_in": 0, "llm_tokens_out": 0, "stt_ms": 0, "tts_characters": 0}
        self._stt_seconds = 0.0
        self._attached: set[int] = set()
        #: The last error that a plugin could not get over, with no turn of the agent's since.
        self.unanswered_error: str | None = None
        #: Why the `AgentSession` closed, once it did because of an error.
        self.closed_by_error: str | None = None

    def attach(self, session: Any) -> None:
        """Listens to a session, once."""
        if id(session) in self._attached:
            return
        self._attached.add(id(session))
        rtc.EventEmitter.on(session, "metrics_collected", self._metrics)  # past a notice of deprecation, once a session
        session.on("conversation_item_added", self._item)
        session.on("agent_state_changed", self._agent_state)
        session.on("user_state_changed", self._user_state)
        session.on("error", self._error)
        session.on("close", self._close)

    def _since_start(self, at: float | None) -> int:
        return max(0, round(((at or time.time()) - self._began) * 1000))

    def _metrics(self, event: Any) -> None:
        # A plugin object shared by several sessions tells all of them; the task that ran the request knows whose it is.
        if adapter.current_job() not in (None, self._context):
            return
        metrics = event.metrics
        kind = getattr(metrics, "type", "")
        if kind == "llm_metrics":
            self._count(llm_tokens_in=metrics.prompt_tokens, llm_tokens_out=metrics.completion_tokens)
            self._latency("llm", metrics.ttft)
        elif kind == "realtime_model_metrics":
            self._count(llm_tokens_in=metrics.input_tokens, llm_tokens_out=metrics.output_tokens)
            self._latency("llm", metrics.ttft)
        elif kind == "tts_metrics":
            self._count(tts_characters=metrics.characters_count)
            self._latency("tts", metrics.ttfb)
        elif kind == "stt_metrics":
            self._stt_seconds += max(0.0, metrics.audio_duration)
            self._count(stt_ms=int(self._stt_seconds * 1000) - self._used["stt_ms"])
        elif kind == "eou_metrics":
            self._latency("stt", metrics.transcription_delay)
            self._latency("turn", metrics.end_of_utterance_delay)

    def _count(self, **more: int) -> None:
        if not any(value > 0 for value in more.values()):
            return
        for name, value in more.items():
            self._used[name] += max(0, int(value))
        self._emit({"Usage": dict(self._used)})

    def _latency(self, stage: str, seconds: float | None) -> None:
        if seconds is not None and seconds > 0:
            self._emit({"Latency": {"stage": stage, "micros": round(seconds * 1e6)}})

    def _item(self, event: Any) -> None:
        item = event.item
        role = getattr(item, "role", None)
        if role not in ("user", "assistant"):
            return
        speaker = "user" if role == "user" else "agent"
        if speaker == "agent":
            self.unanswered_error = None
        metrics = getattr(item, "metrics", None) or {}
        created = getattr(item, "created_at", None) or event.created_at
        start = self._since_start(metrics.get("started_speaking_at") or created)
        end = self._since_start(metrics.get("stopped_speaking_at") or event.created_at)
        text = (getattr(item, "text_content", None) or "")[:TEXT_CHARACTERS_MAX]
        turn = {"speaker": speaker, "text": text, "start_ms": start, "end_ms": max(start, end)}
        self._emit({"Turn": turn})
        self._latency("response", metrics.get("e2e_latency"))

    def _agent_state(self, event: Any) -> None:
        self._emit({"State": {"state": str(event.new_state)}})

    def _user_state(self, event: Any) -> None:
        self._emit({"Custom": {"name": "user_state", "json": json.dumps({"state": str(event.new_state)})}})

    def _error(self, event: Any) -> None:
        if getattr(event.error, "recoverable", False):
            return
        self.unanswered_error = error_text(event.error)

    def _close(self, event: Any) -> None:
        if event.error is not None:
            self.closed_by_error = error_text(event.error)
