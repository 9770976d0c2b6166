"""The provider starts by hand, says where it listens, and ends when it is told to."""

import json
import signal
import subprocess
import sys
from pathlib import Path

import requests


def start(*arguments: str) -> "subprocess.Popen[str]":
    command = [sys.executable, "-m", "demo.idp", *arguments]
    root = Path(__file__).parents[3]
    return subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=root
    )


def test_it_serves_until_sigterm_and_keeps_its_ca(tmp_path: Path, readme_example: str) -> None:
    file, state = tmp_path / "directory.yaml", tmp_path / "state"
    file.write_text(readme_example, encoding="utf-8")
    authorities = []
    for _ in range(2):
        with start("--directory", str(file), "--state", str(state)) as process:
            assert process.stdout
            line = json.loads(process.stdout.readline())
            authorities.append(Path(line["caFile"]).read_text(encoding="ascii"))
            with requests.Session() as session:
                session.trust_env = False
                url = f"{line['baseUrl']}/common/v2.0/.well-known/openid-configuration"
                assert session.get(url, verify=line["caFile"]).status_code == 200
            process.send_signal(signal.SIGTERM)
            assert process.wait() == 0
            assert process.stdout.read() == ""
    assert authorities[0] == authorities[1]


def test_a_bad_file_ends_it_with_the_line(tmp_path: Path) -> None:
    file = tmp_path / "directory.yaml"
    file.write_text("tenants:\n  - {id: x, name: y}\n", encoding="utf-8")
    with start("--directory", str(file)) as process:
        _, complaint = process.communicate()
    assert process.returncode == 2
    assert complaint == "directory.yaml:2: tenants[0].id: 'x' is not a GUID\n"
