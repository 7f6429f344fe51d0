"""A fresh environment that sees what is installed here, so that a package can be installed into it in a second."""

import os
import site
import subprocess
import sys
import sysconfig
import venv
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Sandbox:
    """An environment and a folder to work in."""

    folder: Path
    environment: Path

    def run(self, command: str, *, exit_code: int = 0) -> str:
        """Run a command line in the folder; what it printed. A wrong exit code is a failed test."""
        done = subprocess.run(
            command,
            shell=True,
            cwd=self.folder,
            env=self._variables(),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        assert done.returncode == exit_code, f"{command}\nexit code {done.returncode}, not {exit_code}\n{done.stdout}"
        return done.stdout

    def _variables(self) -> dict[str, str]:
        scripts = str(self.environment / "bin")
        outside = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "PYTEST"))}
        return outside | {
            "PATH": os.pathsep.join([scripts, outside.get("PATH", "")]),
            "OMP_NUM_THREADS": "1",
            "COLUMNS": "120",
            # What is needed is here already: nothing is fetched, and the build uses the setuptools that is installed.
            "PIP_NO_INDEX": "1",
            "PIP_NO_DEPS": "1",
            "PIP_NO_BUILD_ISOLATION": "0",  # pip reads this one upside down
        }


def make_sandbox(folder: Path) -> Sandbox:
    """A new sandbox below `folder`."""
    environment, work = folder / "environment", folder / "work"
    work.mkdir()
    venv.create(environment, with_pip=False)
    packages = Path(sysconfig.get_path("purelib", vars={"base": str(environment)}))
    seen = [path for path in sys.path if Path(path).name in ("site-packages", "dist-packages")]
    # `addsitedir` rather than plain paths, because an editable kdbench is found through a .pth file of its own.
    lines = [f"import site; site.addsitedir({path!r})" for path in dict.fromkeys([*seen, *site.getsitepackages()])]
    (packages / "outside.pth").write_text("\n".join(lines) + "\n")
    command = environment / "bin" / "kdbench"
    command.write_text(f'#!/bin/sh\nexec "{environment}/bin/python" -m kdbench.cli.main "$@"\n')
    command.chmod(0o755)
    return Sandbox(work, environment)
