"""`audiotag models`: the models that can be used or trained."""

import click

from audiotag.architectures import ARCHITECTURES
from audiotag.cli.options.inputs import hub_usage


@click.command()
@click.option(
    "--all",
    "details",
    is_flag=True,
    help="List every published model, and each architecture's parameters, MACs for 10 s and mAP.",
)
@click.option(
    "--remove",
    metavar="NAME|OWNER/NAME[@REVISION]",
    help="Remove a downloaded model from the cache: all its revisions, or one.",
)
@click.option(
    "--verify",
    metavar="NAME",
    help="Compare a published model's file with its checksum, and its scores of the sample clips "
    "with stored ones, where there are such.",
)
def models(details: bool, remove: str | None, verify: str | None) -> None:
    """List models that can be used, and architectures that can be trained.

    The embedded model, those downloaded, and published ones go by name wherever a MODEL is asked
    for; a published one is downloaded when it is first used. mAP is the mean average precision on
    AudioSet's evaluation clips that its authors state, clips/s the speed on this machine's CPU as
    `audiotag bench models NAME` last measured it. Any image model of timm can be trained too, by
    its name.

    \b
    Example: audiotag models --all
             audiotag tag --model ced-tiny recording.wav
             audiotag models --remove ced-tiny
             audiotag models --verify mn04_as
    """
    if verify is not None:
        _verify(verify)
        return
    if remove is not None:
        _remove(remove)
        return
    from audiotag.cli.tables.models import print_architectures, print_choices, print_entries
    from audiotag.models.published.names import LADDER, MODELS
    from audiotag.tagging import catalogue

    print_entries(
        "Embedded (used without --model)", catalogue.embedded(), "none in this installation"
    )
    print_entries(
        "Downloaded",
        catalogue.downloaded(),
        "none; get one with audiotag pull NAME, or OWNER/NAME from the Hub",
    )
    more = "" if details else f"; --all lists all {len(MODELS)}"
    click.echo(f"Published, the best first{more}:")
    print_choices(catalogue.choices(MODELS if details else LADDER))
    click.echo("Architectures to train:")
    if details:
        print_architectures(catalogue.trainable())
    else:
        click.echo("".join(f"  {name}\n" for name in ARCHITECTURES), nl=False)


def _verify(name: str) -> None:
    from audiotag.models.published.names import MODELS, nearest

    if name not in MODELS:
        near = " or ".join(nearest(name))
        meant = f"did you mean {near}?" if near else "audiotag pull --verify takes Hub ids"
        raise click.UsageError(f"{name!r} is not a published model; {meant}")
    from audiotag.tagging.parity import verify

    found = verify(name)
    model = found.model
    checked = "as its checksum says" if found.is_file_checked else "nobody states its checksum"
    click.echo(f"{name}: {model.file} from {model.page}: {checked}")
    if found.difference is None:
        click.echo(f"{name}: no scores are stored to compare its own with")
    else:
        click.echo(
            f"{name}: scores of {found.clips} sample clips within {found.difference:.1g} of the "
            "stored ones"
        )
    click.echo(
        f"{name}: published mAP {model.score:.1f} % ({model.paper}); to measure it: audiotag "
        f"evaluate {name} AUDIOSET --split eval"
    )


def _remove(repo_id: str) -> None:
    from audiotag.hub import cache

    with hub_usage():
        cache.meant(repo_id)
    freed = cache.remove(repo_id)
    click.echo(f"{repo_id}: removed, {freed / 1e6:.1f} MB freed")
