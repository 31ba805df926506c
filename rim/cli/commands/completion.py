"""`rim completion`: prints the script by which a shell completes commands, options and names."""

from __future__ import annotations

import click

from rim.cli.options import SuggestingChoice, examples

_SHELLS = ("bash", "zsh", "fish")


@click.command(
    "completion",
    epilog=examples(
        "rim completion bash > ~/.local/share/bash-completion/completions/rim",
        "rim completion zsh > ~/.zfunc/_rim     # with ~/.zfunc in fpath before compinit",
        "rim completion fish > ~/.config/fish/completions/rim.fish",
        'eval "$(rim completion bash)"          # in this shell alone; for zsh likewise',
    ),
)
@click.argument("shell", type=SuggestingChoice(_SHELLS), metavar="|".join(_SHELLS))
def command(shell: str) -> int:
    """Print the script by which a shell completes rim's commands, options, and names of presets,
    vocabularies, data sets, formats, settings and a bank's categories.

    Where it belongs is in the examples; a new shell reads it from there.
    """
    from click.shell_completion import get_completion_class

    from rim.cli.main import COMPLETION_VARIABLE, cli

    kind = get_completion_class(shell)
    if kind is None:
        raise click.UsageError(f"expected a shell out of {', '.join(_SHELLS)}, found {shell!r}")
    complete = kind(cli, {}, "rim", COMPLETION_VARIABLE)
    click.echo(complete.source_template % complete.source_vars(), nl=False)
    return 0
