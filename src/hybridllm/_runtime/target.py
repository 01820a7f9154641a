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
        private: Whether its host may have an address of a private network.
    """

    urls: Mapping[str, str]
    headers: Mapping[str, str] = field(repr=False)
    secrets: tuple[str, ...] = field(default=(), repr=False)
    private: bool = False


class Targets:
    """Makes each backend's `Target` when it is first asked.

    Keeps those of the policy in force alone: a request that still runs by a former one has its targets made
    anew.

    Args:
        secret: Returns the secret that a name stands for, or None if there is none.
    """

    def __init__(self, secret: Callable[[str], Secret | None]) -> None:
        self._secret = secret
        self._targets: dict[Backend, Target] = {}
        self._keyless: set[str] = set()  # asked for, while their key was missing
        self._in_force: Mapping[str, Backend] | None = None  # None: whoever is asked

    def of(self, backend: Backend) -> Target:
        """Return the backend's target.

        Raises:
            KeyMissing: If its key is named but not there; its text names the variable.
        """
        target = self._targets.get(backend)
        if target is None:
            try:
                target = self._made(backend)
            except KeyMissing:
                self._keyless.add(backend.name)
                raise
            if self._in_force is None or self._in_force.get(backend.name) is backend:
                self._targets[backend] = target
        return target

    def follow(self, backends: Mapping[str, Backend]) -> frozenset[str]:
        """Keep the targets of these backends from now on, with their keys read anew.

        Returns:
            The names of those that were asked before and have another key now, or at last have one.
        """
        before = {backend.name: target.secrets for backend, target in self._targets.items()}
        before |= dict.fromkeys(self._keyless, ())
        self._targets, self._keyless, self._in_force = {}, set(), backends
        return frozenset(
            name
            for name, secrets in before.items()
            if name in backends and self._secrets(backends[name]) != secrets
        )

    def _secrets(self, backend: Backend) -> tuple[str, ...]:
        try:
            return self.of(backend).secrets
        except KeyMissing:
            return ()

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
        return Target(urls, headers, secrets, backend.private)
