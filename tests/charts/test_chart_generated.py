"""Whether what is generated from the model is current."""

from __future__ import annotations

import pytest

from charts.generate import files


@pytest.mark.parametrize("path", files(), ids=lambda path: path.name)
def test_a_generated_file_is_what_the_model_says(path):
    assert path.read_text() == files()[path], (
        "say `make charts` (python -m charts.generate) and commit what it wrote"
    )
