"""First bounds that an earlier session of the same run computed: a resumed run need not compute them again.

`bounds.npz` in the folder of a run holds what `dse.front_bounds` says of all blocks, in their order, and a digest of
the study and of all code that bounds depend on. A file of another study or code, or a damaged one, is as good as none.
"""

import hashlib
import io
import zipfile
import zlib
from functools import cache
from pathlib import Path

import numpy as np

from dse.front_bounds import Best
from dse.provenance import study_text, version_of
from dse.runs import BOUNDS, write_atomically
from dse.study import Study

__all__ = ["keep_bounds", "kept_bounds"]


def keep_bounds(folder: Path, study: Study, best: Best) -> None:
    """Write the bounds of all blocks; raises `OSError`."""
    file = io.BytesIO()
    np.savez_compressed(file, digest=np.array(_digest(study)), vectors=best.vectors, broken=best.broken,
                        budgets=best.budgets)
    write_atomically(folder / BOUNDS, file.getvalue())


def kept_bounds(folder: Path, study: Study, count: int) -> Best | None:
    """The bounds of all `count` blocks, None where they are not known; single metrics are not kept."""
    try:
        content = io.BytesIO((folder / BOUNDS).read_bytes())  # of a damaged file numpy would leave the handle open
        with np.load(content, allow_pickle=False) as file:
            if str(file["digest"]) != _digest(study):
                return None
            best = Best(file["vectors"], file["broken"], file["budgets"], {})
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile, zlib.error):
        return None
    shapes = ((count, len(study.objectives)), (count,), (count, len(study.budgets)))
    return best if shapes == (best.vectors.shape, best.broken.shape, best.budgets.shape) else None


def _digest(study: Study) -> str:
    found = hashlib.sha256(study_text(study).encode())
    found.update(_code().encode())
    return found.hexdigest()


@cache
def _code() -> str:
    """Digest of the models, the spaces and the search, and the version of numpy, whose sums may round otherwise."""
    found = hashlib.sha256(version_of("numpy").encode())
    here = Path(__file__).parent
    files = [file for folder in (here.parent / "hwmodels", here.parent / "spaces") for file in folder.rglob("*.*")
             if file.suffix in (".py", ".csv")]
    for file in sorted([*files, *here.glob("front*.py")]):
        found.update(str(file.relative_to(here.parent)).encode() + b"\0" + file.read_bytes() + b"\0")
    return found.hexdigest()
