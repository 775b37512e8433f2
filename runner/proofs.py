"""Proofs, checked by Coq: what each theorem says, and what it rests on.

The work is `proofs/check`'s, which `make proofs` runs too: it compiles every file in an empty
place, asks Coq for the statement and the assumptions of each theorem, and has `coqchk`, the second
kernel, read the compiled files and Coq's own library again. Whatever it refuses leaves no record.

Values, all texts: `<File>.<name>`, a statement as Coq prints it with single blanks;
`<File>.<name>/axioms`, what it rests on; `<File>.vo`, the digest of a compiled file; `coqchk`, the
second kernel's summary. There are no arrays.

Not covered: that a statement says what the paper says; proofs/README.md sets them side by side.
"""

import shutil
import subprocess
from pathlib import Path
from tempfile import TemporaryDirectory, gettempdir

from repro import fileio
from repro.errors import CannotRunError, save_errors
from repro.schema.jobs import ProofJob
from runner.measurement import Inputs, Measurement, Progress, Values


def run(job: ProofJob, inputs: Inputs, progress: Progress) -> Measurement:
    """Check every file.

    Raises:
        CannotRunError: Coq is not here, or something is refused.
    """
    bash, coqc = shutil.which("bash"), shutil.which("coqc")
    if not (bash and coqc and inputs.data):
        message = "coqc: found none, expected Coq 8.16; install Debian's package coq"
        raise CannotRunError(message)
    progress(0, len(job.theorems), "coqc and coqchk")
    with save_errors(Path(gettempdir()), "TMPDIR"), TemporaryDirectory() as scratch:
        kept = Path(scratch) / "kept"
        command = [bash, str(inputs.data / job.CHECKER), "--keep", str(kept), str(inputs.data)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603
        if done.returncode:
            raise CannotRunError(_refusal(done))
        values = read_values(job, kept)
    version = subprocess.run(  # noqa: S603
        [coqc, "-print-version"], capture_output=True, text=True, check=True
    )
    progress(len(job.theorems), len(job.theorems), "coqc and coqchk")
    return Measurement(values=values, arrays={}, path={"coq": version.stdout.split()[0]})


def _refusal(done: "subprocess.CompletedProcess[str]") -> str:
    """Why the script ended otherwise than well, in one message."""
    lines = done.stderr.splitlines()
    refused = [line.removeprefix("refused: ") for line in lines if line.startswith("refused: ")]
    return f"the proofs do not hold: {'; '.join(refused or lines[-3:])}"


def read_values(job: ProofJob, kept: Path) -> Values:
    """What `proofs/check --keep` left of the theorems of a job.

    Raises:
        CannotRunError: if there is no such theorem.
    """
    values: Values = {}
    for name in job.theorems:
        if not (kept / "statements" / f"{name}.out").is_file():
            message = f"{name}: found no such Theorem in {name.partition('.')[0]}.v"
            raise CannotRunError(message)
        printed = (kept / "statements" / f"{name}.out").read_text(encoding="utf-8")
        values[name] = " ".join(printed.split()).partition(" : ")[2]
        rests = (kept / "assumptions" / f"{name}.out").read_text(encoding="utf-8")
        # Names begin a line; their types follow them, or stand indented on the next lines.
        names = [line.split()[0] for line in rests.splitlines() if line[:1].strip()]
        found = sorted(each for each in names if each not in ("Axioms:", "Closed"))
        values[f"{name}/axioms"] = ", ".join(found)
    for path in sorted(kept.glob("*.vo")):
        values[path.name] = fileio.digest_of_file(path)
    values["coqchk"] = (kept / "checked.txt").read_text(encoding="utf-8").strip()
    return values
