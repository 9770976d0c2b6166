"""requests without what guesses encodings works, and says nothing about it."""

from __future__ import annotations

import subprocess
import sys

_CODE = """
import sys, warnings
warnings.simplefilter("error")
from agent.footprint import do_not_guess
{before}
do_not_guess()
import requests
answer = requests.Response()
answer._content = "schön".encode()
print(answer.text, "charset_normalizer" in sys.modules)
import charset_normalizer  # whoever asks for it by name still gets it
"""


def said(before: str = "") -> str:
    done = subprocess.run(
        [sys.executable, "-c", _CODE.format(before=before)],
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    assert done.stderr == ""
    return done.stdout.strip()


def test_a_text_of_no_named_encoding_is_utf_8() -> None:
    assert said() == "schön False"


def test_where_requests_is_there_already_it_stays_as_it_is() -> None:
    assert said("import requests") == "schön True"
