"""A backend as the wire sees it: URLs and headers made once, the key read by its name."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from hybridllm._core.policy.compiled import Backend
from hybridllm._core.secret import Secret
from hybridllm._version import __version__

_PATHS = {"chat": "/chat/completions", "embeddings": "/embeddings"}


class KeyMissing(Exception):
    """The environment variable that a backend's key is read from is not set, or holds no key."""


@dataclass(frozen=True, slots=True)
class Target:
    """Where requests to one backend go. Its repr shows no header.

    Attributes:
        urls: Per operation.
        secrets: What must never be shown of what this backend says.
    """

    urls: Mapping[str, str]
    headers: Mapping[str, str] = field(repr=False)
    secrets: tuple[str, ...] = field(default=(), repr=False)


class Targets:
    """Makes each backend's `Target` when it is first asked.

    Args:
        secret: Returns the secret that a name stands for, or None if there is none.
    """

    def __init__(self, secret: Callable[[str], Secret | None]) -> None:
        self._secret = secret
        self._targets: dict[Backend, Target] = {}

    def of(self, backend: Backend) -> Target:
        """Return the backend's target.

        Raises:
            KeyMissing: If its key is named but not there; its text names the variable.
        """
        target = self._targets.get(backend)
        if target is None:
            target = self._targets[backend] = self._made(backend)
        return target

    def _made(self, backend: Backend) -> Target:
        headers = {
            "Accept": "application/json, text/event-stream",
            "Accept-Encoding": "identity",
            "Content-Type": "application/json",
            "User-Agent": f"hybridllm/{__version__}",
            **dict(backend.headers),
        }
        secrets: tuple[str, ...] = ()
        if backend.api_key_env is not None:
            try:
                secret = self._secret(backend.api_key_env)
            except ValueError as error:
                raise KeyMissing(str(error)) from None
            if secret is None:
                raise KeyMissing(
                    f"environment variable {backend.api_key_env} is not set; backend {backend.name!r} "
                    "reads its key from it (api_key_env)"
                )
            headers["Authorization"] = f"Bearer {secret.reveal()}"
            secrets = (secret.reveal(),)
        urls = {operation: backend.base_url + path for operation, path in _PATHS.items()}
        return Target(urls, headers, secrets)
