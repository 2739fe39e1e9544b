"""The method in words, filled from the preset and the records: no setting in the paper is typed by hand."""

from __future__ import annotations

from mnv4bench.report import formatting as fmt
from mnv4bench.report import verdict_words as say
from mnv4bench.report import words
from mnv4bench.report.results import Results
from mnv4bench.results.latency import LatencySession
from mnv4bench.spec.run import TrainSpec

DATA = {
    "scenes": (
        "Scenes is a diagnostic data set, drawn by a seeded procedure. Each image belongs to one slice that stresses "
        "one mechanism: crowd (overlapping objects of one class, for suppression), small (for down-sampling), context "
        "(the class depends on something far away, for attention), large (wide receptive fields) and plain. Drawn "
        "scenes are not photographs: an effect seen here need not carry over to them."
    ),
    "bccd": (
        "BCCD is a small public set of microscope photographs of blood cells. It is real, and small: resampling its "
        "validation images says how much the scores hang on them."
    ),
    "coco": "COCO 2017, the papers' data set.",
}
SCHEDULES = {
    "one_cycle": "a one-cycle schedule",
    "linear": "a linear schedule after a warm-up",
    "cosine": "a cosine schedule after a warm-up",
}
OPTIMIZERS = {"adamw": "AdamW", "sgd": "SGD with Nesterov momentum"}
YOLOV10_EPOCHS, COCO_IMAGES = 500, 118_287
"""YOLOv10, Table 14; COCO train2017. What a training from random weights has in the papers."""


def data(results: Results) -> list[str]:
    """Return what the arms were trained and scored on."""
    spec, record = results.plan.preset.data, results.data.record
    sentences = [
        DATA.get(record.name, f"The data set is {record.name}."),
        f"It has {fmt.count(record.train.count, 'training image')}, "
        f"{fmt.count(record.val.count, 'validation image')} with {fmt.count(record.val.objects, 'object')}, and "
        f"{_classes(record.classes)}. Images are letterboxed to {spec.imgsz} pixels.",
    ]
    return [*sentences, *record.notes]


def _classes(names: tuple[str, ...]) -> str:
    if len(names) > 8:
        return f"{len(names)} classes"
    return f"{'the class' if len(names) == 1 else f'{len(names)} classes:'} {fmt.join(names)}"


def training(results: Results) -> list[str]:
    """Return the protocol and the recipe."""
    preset = results.plan.preset
    sentences = [words.protocol(results.plan), *_recipes(results), *_before(results)]
    augment = [f"{name} {fmt.plain(value)}" for name, value in preset.train.augment if value]
    sentences.append(f"Augmentation: {', '.join(augment) or 'none'}.")
    hours = sum(status.seconds for status in results.statuses.values()) / 3600
    ended = sum(status.state == "done" for status in results.statuses.values())
    sentences.append(
        f"In all, {fmt.count(len(results.statuses), 'training run')} took {fmt.significant(hours, 2)} hours of "
        f"training time; {'all of them' if ended == len(results.statuses) else f'{ended} of them'} ended well. "
        "Weights are those of the exponential moving average after the last epoch: no epoch was chosen on the "
        "validation images."
    )
    return sentences


def _before(results: Results) -> list[str]:
    """Return what trunk and teacher were trained for, read from the runs that the arms name."""
    runs = results.plan.runs
    arms = [runs[run] for arm in results.arms for run in arm.arm.runs.values()]
    trunks = dict.fromkeys(run.start for run in arms if run.start)
    teachers = dict.fromkeys(run.teacher for run in arms if run.teacher)
    sentences = [
        f"The trunk was trained for {fmt.count(runs[name].train.epochs, 'epoch')} before that." for name in trunks
    ]
    for name in teachers:
        origin = "starting from the trunk's weights" if runs[name].start else "from scratch"
        epochs = fmt.count(runs[name].train.epochs, "epoch")
        sentences.append(f"The teacher of distilled arms was trained for {epochs}, {origin}.")
    return sentences


def _recipes(results: Results) -> list[str]:
    """Return how the arms were trained, a sentence per recipe, the most common first."""
    users: dict[str, dict[str, int]] = {}
    for arm in results.arms:
        recipe = _recipe(results.plan.runs[next(iter(arm.arm.runs.values()))].train)
        of_recipe = users.setdefault(recipe, {})
        of_recipe[arm.arm.ablation] = of_recipe.get(arm.arm.ablation, 0) + 1
    first, *others = sorted(users, key=lambda recipe: -sum(users[recipe].values()))
    who = "The other arms were" if others else "Every arm was"
    return [
        *(f"The arms of {fmt.join(users[recipe])} were trained for {recipe}." for recipe in others),
        f"{who} trained for {first}.",
    ]


def _recipe(train: TrainSpec) -> str:
    return (
        f"{fmt.count(train.epochs, 'epoch')} in batches of {train.batch} with {OPTIMIZERS[train.optimizer]}, peak "
        f"learning rate {fmt.plain(train.lr)}, {SCHEDULES[train.schedule]} and weight decay "
        f"{fmt.plain(train.weight_decay)}, on the {train.device.upper()} in {train.precision} with "
        f"{fmt.count(train.threads, 'thread')}"
    )


def statistics(results: Results) -> list[str]:
    """Return how the intervals were made."""
    c = results.comparison
    sentences = [
        f"Differences are paired by seed. The {c.images} validation images were resampled {c.bootstrap} times, the "
        "same draw for every arm and seed."
    ]
    if len(results.plan.preset.seeds) > 1:
        sentences.append(
            f"The {fmt.percent(c.level)} interval is Student's t with the variance of the mean over seeds plus the "
            "variance over resamples, and Satterthwaite's degrees of freedom."
        )
    else:
        sentences.append(
            f"There is one seed: the {fmt.percent(c.level)} interval holds the variance over resamples alone."
        )
    sentences.append(
        "The intervals themselves are not corrected for the number of comparisons; the tests are. Differences per "
        "slice and per type of error are exploratory."
    )
    return sentences


def latency(results: Results) -> list[str]:
    """Return how times were taken, and what was not timed."""
    record = results.latency
    sentences = [
        f"Times are of one image at a time with {fmt.count(record.threads, 'thread')}, over "
        f"{fmt.count(record.images, 'validation image')}. End to end is the forward pass and the reading of "
        "detections, after decoding and letterboxing.",
        f"Each of {fmt.count(len(_sessions(results)), 'session')}, a process of its own, has "
        f"{fmt.count(record.rounds, 'round')} in which every arm takes its turn, in a random order and then in its "
        f"reverse. A turn is {fmt.count(record.blocks, 'block')} of at least {fmt.plain(record.block_ms)} ms, of "
        "which the fastest counts; ratios to the ablation's baseline are taken within a round.",
    ]
    return [*sentences, *words.not_comparable(results), *words.not_timed(results.latency)]


def _sessions(results: Results) -> list[LatencySession]:
    return [session for session in results.latency.sessions if session.threads == results.latency.threads]


def noise(results: Results) -> list[str]:
    """Return how quiet the machine was, and what the timing could therefore resolve."""
    sessions = _sessions(results)
    copies = [abs(value) for session in sessions for value in session.copies.values()]
    drifts = [abs(session.canary_drift) for session in sessions if session.canary_drift is not None]
    dirty = [session for session in sessions if session.contaminated]
    sentences = []
    if copies:
        sentences.append(
            f"Two copies of {results.latency.reference} were timed as if they were two arms; in no session, runtime or "
            f"stage did they differ by more than {fmt.share(max(copies))}."
        )
    if drifts:
        sentences.append(
            f"A fixed piece of work drifted by at most {fmt.share(max(drifts))} within a session; "
            f"{_contaminated(len(dirty), len(sessions))}."
        )
    reasons = [f"Session {session.number}: {'; '.join(session.contaminated).rstrip('.')}." for session in dirty]
    return [*sentences, *reasons, *say.resolution(results)]


def _contaminated(dirty: int, sessions: int) -> str:
    if dirty == 0:
        return "no session was contaminated"
    return f"{dirty} of {fmt.count(sessions, 'session')} {'was' if dirty == 1 else 'were'} contaminated"


def limits(results: Results) -> list[str]:
    """Return what these numbers cannot say."""
    preset = results.plan.preset
    scales = {arm.arm.model.scale for arm in results.arms}
    sizes = "one detector size" if len(scales) == 1 else "one detector size but for the arms that ask about size"
    sentences = [
        f"One data set, {results.data.record.name}, at {preset.data.imgsz} pixels, and {sizes}.",
        "YOLOv10 was trained on COCO at 640 pixels and timed on a T4 GPU with TensorRT FP16, MobileNetV4 on ImageNet "
        "and timed on phones; a published number is set beside a measured one for orientation, not as a reproduction.",
        "Times hold for the machine named below; between machines only ratios to a baseline should be compared.",
    ]
    if preset.data.name == "coco":
        sentences[1] = "YOLOv10's published times are of a T4 GPU with TensorRT FP16, which is not what was timed here."
    runs = [results.plan.runs[run] for arm in results.arms for run in arm.arm.runs.values()]
    if any(run.start for run in runs):
        sentences.append(
            "The shared trunk was trained with the default detector's parts. It measures what a part adds to an "
            "already trained network, and may favour parts that suit the trunk."
        )
    images = results.data.record.train.count
    short = sorted({run.train.epochs for run in runs if run.start is None})
    if short and short[0] * images < YOLOV10_EPOCHS * COCO_IMAGES:
        epochs = fmt.count(short[0], "epoch") if len(short) == 1 else f"{short[0]} to {short[-1]} epochs"
        sentences.append(
            f"Arms that start from random weights had {epochs} on {images} images, where YOLOv10 has "
            f"{YOLOV10_EPOCHS} on COCO's {COCO_IMAGES}. What learns slowly, a large network above all, may have lost "
            "to the schedule rather than to its baseline."
        )
    if len(preset.seeds) == 1:
        sentences.append("One seed cannot show how much another training would differ.")
    machines = {(s.environment.cpu, s.environment.cpu_flags, s.environment.gpu) for s in results.statuses.values()}
    if len(machines) > 1:
        sentences.append(f"The runs come from {len(machines)} different machines.")
    return sentences


def machine(results: Results) -> dict[str, str]:
    """Return where the times were taken."""
    e = results.latency.environment
    found = {
        "Processor": e.cpu,
        "GPU": e.gpu or "none",
        "Cores": str(e.cores),
        "Platform": e.platform,
        "Python": e.python,
        "Packages": ", ".join(f"{name} {version}" for name, version in sorted(e.packages.items())),
        "Commit": e.commit or "not a checkout",
        "Timing fingerprint": results.latency.fingerprint,
        "Data digest": results.data.record.digest,
    }
    return found
