"""What a wrong call is told: one line in rim's own words, for the errors that click has."""

from __future__ import annotations

import click

_CLUMSY = {
    "is not a valid integer range": "is no whole number",
    "is not a valid float range": "is no number",
    "is not a valid integer": "is no whole number",
    "is not a valid float": "is no number",
}


def explained(error: click.ClickException) -> str:
    """The error in one line, with where to read more."""
    context = error.ctx if isinstance(error, click.UsageError) else None
    message = _message(error, context).rstrip(".")
    return f"{message} (see {context.command_path} --help)" if context else message


def _message(error: click.ClickException, context: click.Context | None) -> str:
    if isinstance(error, click.NoSuchOption):
        return f"No such option {error.option_name!r}{_guess(error.option_name, context)}"
    if isinstance(error, click.MissingParameter):
        kind = "option" if isinstance(error.param, click.Option) else "argument"
        example = _first_example(context)
        such_as = f"; for example: {example}" if example else ""
        return f"Missing {kind} {_name(error, context)}{such_as}"
    if isinstance(error, click.BadParameter):
        message = error.message
        for clumsy, better in _CLUMSY.items():
            message = message.replace(clumsy, better)
        option = _name(error, context).replace("'", "")
        return f"{option}: {message}"
    return error.format_message()


def _name(error: click.BadParameter, context: click.Context | None) -> str:
    hint = error.param_hint
    if hint is None and error.param is not None and context is not None:
        hint = error.param.get_error_hint(context)
    if hint is None:
        return "the arguments"
    return hint if isinstance(hint, str) else " / ".join(hint)


def _guess(option: str, context: click.Context | None) -> str:
    from schemas.text import did_you_mean

    if context is None:
        return ""
    known = [name for one in context.command.get_params(context) for name in one.opts]
    return did_you_mean(option, [name for name in known if name.startswith("--")])


def _first_example(context: click.Context | None) -> str:
    lines = (context.command.epilog or "").splitlines() if context else []
    return next((line.strip() for line in lines if line.startswith("  ")), "")
