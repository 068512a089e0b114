"""`audiotag push`: share a model on the Hub."""

from pathlib import Path
from typing import Any

import click

from audiotag.cli.options.inputs import hub_usage
from audiotag.cli.options.types import FOLDER


@click.command()
@click.argument("run", type=FOLDER)
@click.argument("repo_id", metavar="OWNER/NAME")
@click.option("--private", is_flag=True, help="If the repository has to be made, make it private.")
@click.option("--revision", metavar="BRANCH", help="Branch to push to.  [default: main]")
@click.option("--tag", metavar="NAME", help="Tag to give to the commit, such as v1.0.")
@click.option("--commit-message", metavar="TEXT", help="First line of the commit's message.")
@click.option("--create-pr", is_flag=True, help="Open a pull request instead of committing.")
@click.option(
    "--folded",
    is_flag=True,
    help="Send folded weights in half precision: about half the size, but not for training.",
)
@click.option(
    "--license",
    metavar="NAME",
    help="Licence of the weights, as on the Hub: mit, cc-by-4.0, ...",
)
@click.option("--token", metavar="TOKEN", help="Hub token; it is safer in HF_TOKEN.")
@click.option("--dry-run", is_flag=True, help="Show the files and the model card, send nothing.")
def push(run: Path, repo_id: str, dry_run: bool, **options: Any) -> None:
    """Share a model on the Hugging Face Hub.

    RUN is a model folder or a run folder. Only these files are sent: the config, the weights,
    model.onnx if there is one, and a model card, which is written if the folder has none; of a run
    also its recipe, its metrics, the counts of its clips, and the figures of `audiotag evaluate
    --save`. After an interruption, the same command resumes.

    \b
    Example:
      audiotag push runs/birds me/birds --private
      audiotag push runs/birds me/birds --tag v1.0 --license cc-by-4.0
    """
    from audiotag.hub.push import check_options
    from audiotag.hub.push import push as upload

    with hub_usage():
        check_options(
            repo_id, options["revision"], options["tag"], options["create_pr"], options["license"]
        )
    pushed = upload(run, repo_id, dry_run=dry_run, **options)
    if dry_run:
        for name, size in pushed.files:
            click.echo(f"{size:>12,} bytes  {name}")
        click.echo(f"\n{pushed.card}", nl=False)
    else:
        click.echo(pushed.url)
