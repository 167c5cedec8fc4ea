"""From labelled texts to a head in a folder of bundles, verified before anybody can see it."""

from pathlib import Path

from triptych_bundles import NAME_RULE, Bundle, HeadBundle, is_name
from triptych_models.errors import BundleExists, TrainingDataError
from triptych_models.heads.embedding import embed
from triptych_models.heads.examples import read_examples
from triptych_models.heads.job import Job, Training
from triptych_models.heads.selection import Data, select
from triptych_models.heads.splitting import split
from triptych_models.heads.verification import open_head, verify_head
from triptych_models.heads.writing import write_head
from triptych_models.progress import Say
from triptych_models.staging import install, staging


def train_head(
    job: Job, trunk: Bundle, output: Path, threads: int, replace: bool, say: Say
) -> HeadBundle:
    """Train a head and put it into `output`, a folder of bundles.

    Raises TrainingDataError for names and data, BundleExists where the version is taken and
    `replace` is false, BundleError and UnsupportedModel for a trunk that cannot serve.
    """
    _check_place(job, output, replace)
    examples = read_examples(job.data, job.columns, job.names)
    say(f"{len(examples.texts)} texts of {len(examples.labels)} labels from {job.data.name}")
    say(f"embedding with {trunk.identity}")
    data = Data(embed(trunk, examples.texts, threads, say), examples.classes, examples.labels)
    parts = split(examples.classes, job.seed)
    say("choosing a recipe")
    outcome = select(data, parts, job.seed, threads, say)
    return _put(Training(job, trunk, examples, data, parts, outcome), output)


def _check_place(job: Job, output: Path, replace: bool) -> None:
    for option, part in (("--name", job.name), ("--version", job.version)):
        if not is_name(part):
            raise TrainingDataError(f"{option}: {part[:128]!r} {NAME_RULE}")
    if (output / job.name / job.version).exists() and not replace:
        reason = "is there already: choose another version, or replace it with --replace"
        raise BundleExists(f"{job.name}@{job.version} {reason}")


def _put(training: Training, output: Path) -> HeadBundle:
    job = training.job
    with staging(output) as staged:
        folder = staged / job.name / job.version
        folder.mkdir(parents=True)
        write_head(folder, training)
        verify_head(open_head(folder))
        target = output / job.name / job.version
        install(folder, target)
    return open_head(target)
