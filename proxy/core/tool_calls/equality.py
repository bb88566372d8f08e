"""Whether two calls are the same: the same name, and arguments that are equal as JSON values."""

import hashlib
import json
from decimal import Decimal


def fingerprint(name: str, arguments: str) -> str:
    """The same for the same calls, whatever the spacing, the order of keys and the notation of numbers. Arguments that
    are not JSON are compared as text."""
    try:
        value = repr(_canonical(json.loads(arguments or "{}", parse_int=Decimal, parse_float=Decimal)))
    except (ValueError, ArithmeticError, RecursionError):
        value = arguments
    return hashlib.blake2b(f"{name}\0{value}".encode(errors="surrogatepass"), digest_size=16).hexdigest()


def _canonical(value: object) -> object:
    if isinstance(value, dict):
        return [(key, _canonical(value[key])) for key in sorted(value)]
    if isinstance(value, list):
        return (*map(_canonical, value),)
    if isinstance(value, Decimal):
        sign, digits, exponent = value.as_tuple()
        written = "".join(map(str, digits)).lstrip("0")
        significant = written.rstrip("0")
        if not significant:
            return ("number", 0)
        return ("number", sign, significant, int(exponent) + len(written) - len(significant))
    return value
