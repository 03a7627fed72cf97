"""One mailbox as people write it, `Display Name <addr@domain>`, and as the relay needs it."""

import re
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

import idna

CONTROLS: Final = r"\u0000-\u001f\u007f-\u009f\u2028\u2029"
"""What could end a line somewhere: C0, DEL, C1 and the Unicode line ends (RFC 5322 §2.2)."""

BEYOND_ASCII: Final = (
    r"\u00a1-\u167f\u1681-\u1fff\u2030-\u205e\u2070-\u2fff\u3001-\ud7ff"
    r"\uf900-\ufdcf\ufdf0-\ufefe\uff00-\uffef"
)
"""The basic plane without spaces, controls, direction marks, surrogates and private use."""

_ATOM: Final = rf"[A-Za-z0-9!#$%&'*+/=?^_`{{|}}~{BEYOND_ASCII}-]+"
_EDGE: Final = rf"[A-Za-z0-9{BEYOND_ASCII}]"
_LABEL: Final = rf"{_EDGE}(?:[A-Za-z0-9{BEYOND_ASCII}-]*{_EDGE})?"
_ADDRESS: Final = rf"{_ATOM}(?:\.{_ATOM})*@{_LABEL}(?:\.{_LABEL})*"

MAILBOX_PATTERN: Final = rf"^(?:[^<>{CONTROLS}]*<{_ADDRESS}>|{_ADDRESS})$"
"""The shape of a mailbox, in the regular expressions of Python, Rust and ECMA-262 alike."""

MAX_MAILBOX_CHARACTERS: Final = 512
MAX_LOCAL_OCTETS: Final = 64
MAX_DOMAIN_OCTETS: Final = 253
MAX_LABEL_OCTETS: Final = 63
MAX_ADDRESS_OCTETS: Final = 254

_DOMAIN: Final = re.compile(rf"{_LABEL}(?:\.{_LABEL})*\Z")
_SHAPE: Final = re.compile(MAILBOX_PATTERN.removesuffix("$") + r"\Z")


@dataclass(frozen=True, slots=True)
class Mailbox:
    """A display name (may be empty) and an address whose domain is in its ASCII form (IDNA)."""

    name: str
    address: str

    @property
    def domain(self) -> str:
        """The part after the @, in ASCII."""
        return self.address.rpartition("@")[2]


@lru_cache(maxsize=4096)
def parse_mailbox(text: str) -> Mailbox:
    """Read `addr@domain` or `Display Name <addr@domain>` (RFC 5322 §3.4, RFC 6531).

    Raises ValueError, saying what is wrong, for any other text: quoted mailbox names, address
    literals and routes are not taken.
    """
    if len(text) > MAX_MAILBOX_CHARACTERS:
        raise ValueError(f"must have at most {MAX_MAILBOX_CHARACTERS} characters")
    if not _SHAPE.match(text) or not _is_unicode(text):
        raise ValueError("must be addr@domain or Display Name <addr@domain>")
    name, _, angled = text.rpartition("<")
    local, _, domain = (angled.removesuffix(">") if angled != text else text).rpartition("@")
    ascii_domain = _ascii(domain)
    if len(local.encode()) > MAX_LOCAL_OCTETS:
        raise ValueError(f"the part before the @ must have at most {MAX_LOCAL_OCTETS} octets")
    address = f"{local}@{ascii_domain}"
    if len(address.encode()) > MAX_ADDRESS_OCTETS:
        raise ValueError(f"the address must have at most {MAX_ADDRESS_OCTETS} octets")
    return Mailbox(_unquoted(name.strip()), address)


def _is_unicode(text: str) -> bool:
    """Whether the text can be written as UTF-8: Python lets lone surrogates into strings."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _ascii(domain: str) -> str:
    if not domain.isascii():
        try:
            domain = idna.encode(domain, uts46=True).decode("ascii")
        except idna.IDNAError:
            domain = ""
        # UTS 46 maps some characters to a dot or to nothing: the shape must hold afterwards, too.
        if not _DOMAIN.match(domain):
            raise ValueError("the domain is no valid internationalised name")
    if len(domain) > MAX_DOMAIN_OCTETS or max(map(len, domain.split("."))) > MAX_LABEL_OCTETS:
        raise ValueError("the domain is too long: 253 octets, 63 for each label")
    # Of two spellings of one mailbox (RFC 5321 §2.4) there must be one mail.
    return domain.lower()


def _unquoted(name: str) -> str:
    if len(name) > 1 and name[0] == name[-1] == '"':
        return re.sub(r"\\(.)", r"\1", name[1:-1])
    return name
