"""What does a process that stays for months do without?"""

from __future__ import annotations

import ctypes
import gc
import importlib
import sys
import warnings

# Guess the encoding of a text. Whoever we speak to sends JSON, and that is UTF-8 (RFC 8259 §8.1).
_GUESSERS = ("chardet", "charset_normalizer")


def do_not_guess() -> None:
    """Import requests without what guesses encodings: 4 MB. It takes text for UTF-8 then.

    Where requests is there already, it stays as it is.
    """
    if "requests" in sys.modules:
        return
    absent = [name for name in _GUESSERS if name not in sys.modules]
    sys.modules.update(dict.fromkeys(absent))  # type: ignore[arg-type] # None: "there is none"
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="Unable to find acceptable character detect")
            importlib.import_module("requests")
    finally:
        for name in absent:
            del sys.modules[name]


def settle() -> None:
    """Give back what the start took for a while, and keep what stays out of collections.

    glibc's allocator gives little back by itself; another libc has no such call.
    """
    gc.enable()
    gc.collect()
    gc.freeze()
    # Nothing that a request leaves is cyclic (a full collection over 10,000 tokens finds none), and
    # looking at all of it stopped every decision for 31 to 90 ms, measured: seldom then.
    gc.set_threshold(700, 10, 1000)
    if trim := getattr(ctypes.CDLL(None), "malloc_trim", None):
        trim(0)
