"""Masking of secrets: keys of an API and credentials in an address, in words that people or files get."""

import re
from base64 import b64encode
from urllib.parse import quote, unquote, urlsplit

MASK = "***"

_LEAST = 8
"""Characters of a secret that is searched for in any text. A shorter one, such as ``none``, may be a word."""

_LOGIN = re.compile(r"(?<=://)[^\s/?#'\"]+@")
"""The user and the password of an address."""
_QUERY = re.compile(r"(://[^\s'\"?#]*\?)([^\s'\"#]*)")
"""An address up to its query, and the query."""


class Mask:
    """Replaces a key, and the credentials in an address, by ``***``."""

    def __init__(self, key: str | None, address: str | None) -> None:
        parts = urlsplit(address or "")
        user = parts.username or ""
        password = parts.password or ""
        secrets = {key or "", password, unquote(password)}
        for pair in parts.query.split("&"):
            value = pair.partition("=")[2]
            secrets |= {value, unquote(value)}
        if password:
            # As the header of basic authentication holds them.
            login = f"{unquote(user)}:{unquote(password)}"
            secrets.add(b64encode(login.encode()).decode())
        forms = secrets | {quote(secret, safe="") for secret in secrets}
        # The longest first: a key may begin with another secret.
        long_forms = [form for form in forms if len(form) >= _LEAST]
        self._forms = sorted(long_forms, key=len, reverse=True)

    def __call__(self, text: str) -> str:
        """Return a text without the secrets."""
        for form in self._forms:
            text = text.replace(form, MASK)
        return masked(text) if "://" in text else text


def masked(text: str) -> str:
    """Return a text, such as a command line, without the credentials of the addresses in it.

    The address ``http://me:secret@host/v1?key=abc`` becomes ``http://***@host/v1?key=***``.
    """
    text = _LOGIN.sub(f"{MASK}@", text)
    return _QUERY.sub(lambda match: match[1] + re.sub(r"=[^&]*", f"={MASK}", match[2]), text)
