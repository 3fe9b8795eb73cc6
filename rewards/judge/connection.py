"""Connections to OpenAI-compatible servers: direct to this machine, through the environment's proxy elsewhere."""

from __future__ import annotations

import ipaddress
import os
import urllib.request
from functools import cache
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import regex

if TYPE_CHECKING:
    import openai


_LOGIN = regex.compile(r"(?<=://)[^\s/?#]*@")


class ProxyError(ValueError):
    """A proxy that the environment names can't be used. The message names the variable and how to fix it."""


def is_loopback(url: str) -> bool:
    """Whether a URL is of this machine: 127.0.0.0/8, ::1, localhost, or an unspecified address (0.0.0.0, ::)."""
    host = (urlsplit(url).hostname or "").rstrip(".")
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return False
    address = getattr(address, "ipv4_mapped", None) or address
    return address.is_loopback or address.is_unspecified


def proxy_variable(url: str) -> str:
    """Name of the environment variable whose proxy requests to a URL use; empty if they use none."""
    parts = urlsplit(url)
    if is_loopback(url) or urllib.request.proxy_bypass_environment(parts.hostname or ""):  # type: ignore[attr-defined]
        return ""
    names = (name for scheme in (parts.scheme, "all") for name in (f"{scheme}_proxy", f"{scheme.upper()}_PROXY"))
    return next((name for name in names if os.environ.get(name)), "")


def proxy_note(url: str) -> str:
    """What to add to a message about a server that can't be reached; empty if no proxy is used. It does not show the
    proxy, whose address may hold a password."""
    name = proxy_variable(url)
    host = urlsplit(url).hostname
    return (
        f" (requests use the proxy in {name}; if {host} needs none, add it to no_proxy or unset {name})" if name else ""
    )


def without_secrets(text: str, *secrets: str | None) -> str:
    """Text to be shown or kept, without these secrets and without the logins that stand in URLs."""
    for secret in filter(None, secrets):
        text = text.replace(secret, "***")
    return _LOGIN.sub("***@", text)


def connected(base_url: str, api_key: str | None, **options: Any) -> openai.OpenAI:
    """A client of a server. Raises ProxyError."""
    import openai

    direct = openai.DefaultHttpxClient(**_direct()) if is_loopback(base_url) else None
    try:
        return openai.OpenAI(base_url=base_url, api_key=api_key or "none", http_client=direct, **options)
    except Exception as error:
        raise _problem(base_url, error) from None


def connected_async(base_url: str, api_key: str | None, **options: Any) -> openai.AsyncOpenAI:
    """The same for asynchronous requests. Raises ProxyError."""
    import openai

    direct = openai.DefaultAsyncHttpxClient(**_direct()) if is_loopback(base_url) else None
    try:
        return openai.AsyncOpenAI(base_url=base_url, api_key=api_key or "none", http_client=direct, **options)
    except Exception as error:
        raise _problem(base_url, error) from None


@cache
def _direct() -> dict[str, Any]:
    """Options of a client that uses no proxy. Reading the certificates takes 50 ms, so a process reads them once."""
    import httpx

    return {"trust_env": False, "verify": httpx.create_ssl_context(trust_env=False)}


def _problem(base_url: str, error: Exception) -> Exception:
    """A new client opens no connection yet: if it can't be made, a proxy or the URL is wrong."""
    name = proxy_variable(base_url)
    if not name:
        shown = without_secrets(f"{base_url} is not the address of a server ({error})")
        return ValueError(f"{shown}; write http://HOST:PORT/v1")
    if isinstance(error, ImportError):
        return ProxyError(
            f"the environment variable {name} names a SOCKS proxy, which needs a further package: install socksio, "
            f"give an HTTP proxy, or unset {name}"
        )
    return ProxyError(f"the environment variable {name} names no proxy that can be used; correct it or unset it")
