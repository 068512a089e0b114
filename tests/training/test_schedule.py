"""How a run is divided into steps and micro batches, counted by hand."""

import pytest

from audiotag.training.recipe.toml import parse_recipe
from audiotag.training.schedule import Schedule, plan_schedule, slow_average


def recipe(epoch_clips=None, **train):
    return parse_recipe(
        {
            "data": {} if epoch_clips is None else {"epoch_clips": epoch_clips},
            "augment": {"mixup_alpha": 0.0},
            "optim": {"warmup_epochs": 1.5},
            "train": {"epochs": 4, "batch_size": 6} | train,
            "distill": {"teacher": "x", "layers": "*", "blockwise_epochs": 0.5},
        }
    )


@pytest.mark.parametrize(
    ("settings", "clips", "processes", "sizes", "steps"),
    [
        # 20 clips are three full batches of 6. Halves of steps are rounded to even numbers.
        ({}, 20, 1, (6, 6, 1), (3, 12, 4, 2)),
        ({}, 20, 2, (6, 3, 2), (3, 12, 4, 2)),
        ({"micro_batch": 2}, 20, 3, (6, 2, 3), (3, 12, 4, 2)),
        ({"epoch_clips": 60}, 20, 1, (6, 6, 1), (10, 40, 15, 5)),
        # Fewer clips than a batch are one step of all of them.
        ({}, 4, 2, (4, 2, 2), (1, 4, 2, 0)),
        ({"micro_batch": 6}, 4, 1, (4, 4, 1), (1, 4, 2, 0)),
    ],
)
def test_a_run_is_divided_as_by_hand(settings, clips, processes, sizes, steps):
    schedule = plan_schedule(recipe(**settings), clips, 0, processes)
    assert (schedule.batch_size, schedule.micro_size, schedule.micro_batches) == sizes
    assert schedule == Schedule(*sizes[:2], *steps, rank=0, processes=processes)


@pytest.mark.parametrize(("epochs", "decay", "is_slow"), [(4, 0.999, True), (4, 0.5, False)])
def test_a_running_average_is_judged_by_the_steps_that_there_are(epochs, decay, is_slow):
    changed = recipe(epochs=epochs, ema_decay=decay)
    told = slow_average(changed, plan_schedule(changed, 20, 0, 1))
    assert (told is not None) == is_slow


def test_a_probe_alone_has_no_steps_to_average():
    values = {"model": {"init": "x", "head": "probe"}, "optim": {"warmup_epochs": 0.0}}
    probe = parse_recipe(values | {"train": {"epochs": 0, "ema_decay": 0.999}})
    assert slow_average(probe, plan_schedule(probe, 20, 0, 1)) is None
