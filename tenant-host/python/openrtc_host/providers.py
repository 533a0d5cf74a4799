"""From `{"provider": "openai", "model": …}` to a plugin's object, with this tenant's key.

Owns: finding the plugin, its class and what its constructor takes, and what is said of LiveKit Inference without a key.
Never: reads a key itself; plugins find theirs in the host's environment.
"""

from __future__ import annotations

import importlib
import importlib.util
import inspect
import os
import pkgutil
from collections.abc import Mapping
from typing import Any

STEPS = ("stt", "llm", "tts")
INFERENCE = "inference"
_CLASSES = {"stt": "STT", "llm": "LLM", "tts": "TTS"}
_INFERENCE_KEY = ("LIVEKIT_INFERENCE_API_KEY", "LIVEKIT_API_KEY")
_INFERENCE_SECRET = ("LIVEKIT_INFERENCE_API_SECRET", "LIVEKIT_API_SECRET")
_INFERENCE_REMEDY = (
    "LiveKit Inference runs only on a key of the tenant's own, and this host has none: set "
    "LIVEKIT_INFERENCE_API_KEY and LIVEKIT_INFERENCE_API_SECRET under [tenants.NAME.env], or name a plugin, which "
    "runs on the tenant's key for it: "
    'llm = "openai/gpt-4o" in the configuration, openai.LLM(…) in the script'
)


class ConfigurationFault(RuntimeError):
    """The configuration, or what the script asks for, cannot be done here; the text names the remedy."""

    misconfigured = True  # what ends a session as `misconfigured`, instead of as failed


def installed() -> list[str]:
    """The plugins that this interpreter has."""
    try:
        spec = importlib.util.find_spec("livekit.plugins")
    except ModuleNotFoundError:
        return []
    places = list(spec.submodule_search_locations or []) if spec is not None else []
    return sorted(module.name for module in pkgutil.iter_modules(places))


def build(step: str, given: Mapping[str, Any]) -> Any:
    """One step's object."""
    arguments = {name: value for name, value in given.items() if name != "provider"}
    plugin = str(given["provider"]).replace("-", "_")
    if plugin == INFERENCE:
        _require_inference(step, arguments)
        module = importlib.import_module("livekit.agents.inference")
    else:
        module = _plugin(step, plugin)
    chosen = getattr(module, _CLASSES[step], None)
    if not inspect.isclass(chosen):
        known = [name for name in _CLASSES.values() if inspect.isclass(getattr(module, name, None))]
        raise ConfigurationFault(
            f"{step}: {module.__name__} has no {_CLASSES[step]}; of STT, LLM and TTS it has {', '.join(known) or None}"
        )
    _check(step, module.__name__, chosen, arguments)
    try:
        return chosen(**arguments)
    except Exception as error:
        where = f"{module.__name__}.{_CLASSES[step]}"
        raise ConfigurationFault(f"{step}: {where} refused its arguments: {type(error).__name__}: {error}") from error


def _plugin(step: str, plugin: str) -> Any:
    name = f"livekit.plugins.{plugin}"
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if not name.startswith(error.name or "?"):
            raise ConfigurationFault(f"{step}: {name} does not import: {error}") from error
        package = f"livekit-plugins-{plugin.replace('_', '-')}"
        raise ConfigurationFault(
            f"{step}: the plugin {plugin!r} is not installed for the application's interpreter: pip install {package}; "
            f"installed are: {', '.join(installed()) or 'none'}"
        ) from error


def _check(step: str, module: str, chosen: Any, arguments: Mapping[str, Any]) -> None:
    parameters = dict(inspect.signature(chosen.__init__).parameters)
    parameters.pop("self", None)
    if any(p.kind is inspect.Parameter.VAR_KEYWORD for p in parameters.values()):
        return
    takes = [n for n, p in parameters.items() if p.kind is not inspect.Parameter.VAR_POSITIONAL]
    for name in arguments:
        if name not in takes:
            raise ConfigurationFault(
                f"{step}: {module}.{_CLASSES[step]} takes no {name!r}; it takes: {', '.join(sorted(takes))}"
            )


def _require_inference(step: str, arguments: Mapping[str, Any]) -> None:
    pair = os.environ.get("INFERENCE_API_KEY", "")
    if ":" in pair:
        key, secret = pair.split(":", 1)
        os.environ.setdefault(_INFERENCE_KEY[0], key)
        os.environ.setdefault(_INFERENCE_SECRET[0], secret)
    if not has_inference_key() and not ("api_key" in arguments and "api_secret" in arguments):
        model = arguments.get("model", "")
        raise ConfigurationFault(f'{step}: "{INFERENCE}:{model}": {_INFERENCE_REMEDY}')


def has_inference_key() -> bool:
    """Whether this host's environment has a key for LiveKit Inference."""
    return all(any(os.environ.get(name) for name in names) for names in (_INFERENCE_KEY, _INFERENCE_SECRET))


def inference_fault(error: BaseException, application: str) -> ConfigurationFault | None:
    """The fault behind an exception that LiveKit Inference raised for want of a key; `None` for any other."""
    found: BaseException | None = error
    seen: set[int] = set()
    while found is not None and id(found) not in seen:
        seen.add(id(found))
        if isinstance(found, ValueError) and "is required" in str(found) and _came_through_inference(found):
            return ConfigurationFault(
                f'{application} uses a LiveKit Inference model (a string such as llm="openai/gpt-4o", or '
                f"livekit.agents.inference): {_INFERENCE_REMEDY}"
            )
        found = found.__cause__ or found.__context__
    return None


def _came_through_inference(error: BaseException) -> bool:
    trace = error.__traceback__
    while trace is not None:
        if "/livekit/agents/inference/" in trace.tb_frame.f_code.co_filename:
            return True
        trace = trace.tb_next
    return False
