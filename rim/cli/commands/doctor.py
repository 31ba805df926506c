"""`rim doctor`: says what is installed, found and missing."""

from __future__ import annotations

import sys
from dataclasses import asdict
from typing import TYPE_CHECKING

import click

from rim.cli.options import examples, json_option
from rim.cli.output import print_json

if TYPE_CHECKING:
    from rim.cli.diagnosis import Device, Diagnosis, ModelState, PresetState


@click.command("doctor", epilog=examples("rim doctor --json"))
@json_option
def command(as_json: bool) -> int:
    """Say which devices and libraries there are, where weights are stored, and which presets are
    complete.

    Loads no weights and asks no server. A preset that is not complete is no failure: status 0.
    """
    from rim.cli.diagnosis import diagnose

    facts = diagnose()
    if as_json:
        print_json(asdict(facts))
    elif sys.stdout.isatty():
        _print_tables(facts)
    else:
        click.echo("\n".join(_lines(facts)))
    return 0


def _lines(facts: Diagnosis) -> list[str]:
    lines = [f"rim {facts.rim}, Python {facts.python}, {facts.system}"]
    lines += [f"device {device.name}: {_device(device)}" for device in facts.devices]
    lines += [f"library {name}: {found or 'missing'}" for name, found in facts.versions.items()]
    lines += [f"folder {one.what}: {one.path}, {_size(one.free)} free" for one in facts.caches]
    for preset in facts.presets:
        lines += [f"preset {preset.name}: {verdict}" for verdict in _verdicts(preset)]
        for model in preset.models:
            state = f"{model.status}, {_size(model.bytes)}, {_name(model)}"
            lines.append(f"preset {preset.name}, {model.role}: {state}")
    return lines


def _print_tables(facts: Diagnosis) -> None:
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    console = Console(highlight=False)
    console.print(f"[bold]rim {facts.rim}[/], Python {facts.python}, {escape(facts.system)}")
    table = Table(box=None, show_header=False)
    for device in facts.devices:
        table.add_row(device.name, escape(_device(device)))
    for name, found in facts.versions.items():
        table.add_row(name, found or "[red]missing[/]")
    for one in facts.caches:
        table.add_row(one.what, f"{escape(one.path)}, {_size(one.free)} free")
    console.print(table)
    models = Table("preset", "role", "status", "size", "model", box=None)
    for preset in facts.presets:
        for number, model in enumerate(preset.models):
            colour = "green" if model.status == "complete" else "yellow"
            models.add_row(
                "" if number else f"[bold]{preset.name}[/]",
                model.role,
                f"[{colour}]{model.status}[/]",
                _size(model.bytes),
                escape(_name(model)),
            )
    console.print(models)
    for preset in facts.presets:
        for verdict in _verdicts(preset):
            console.print(f"{preset.name}: {verdict}", markup=False)


def _device(device: Device) -> str:
    cores = f", {device.cores} cores" if device.cores else ""
    free = f", {_size(device.free)} free" if device.free is not None else ""
    return f"{device.model}{cores}, {_size(device.memory)} memory{free}"


def _verdicts(preset: PresetState) -> list[str]:
    """What a preset lacks for each purpose, and what fetches it; one line if it lacks nothing."""
    if preset.complete:
        return ["complete"]
    sizes = {model.role: _size(model.bytes) for model in preset.models}
    lines = []
    for one in preset.purposes:
        lacking = ", ".join(f"{role} ({sizes[role]})" for role in one.lacking)
        state = f"not complete without {lacking}; {one.command}" if lacking else "complete"
        lines.append(f"for {one.purpose} {state}")
    return lines


def _name(model: ModelState) -> str:
    if model.revision is None:
        return model.name
    known = model.revision if model.revision == "unpinned" else f"at {model.revision[:12]}"
    return f"{model.name} {known}"


def _size(size: int | None) -> str:
    from foundation.weights.missing import gigabytes

    return "size unknown" if size is None else gigabytes(size)
