"""What TensorBoard's Text tab says of a run, in Markdown."""

from collections.abc import Mapping, Sequence
from typing import Any

from torch import nn

from runner.model.summary import LayerSummary, totals


def describe_run(record: Mapping[str, Any], environment: Mapping[str, Any]) -> dict[str, str]:
    """Its command, the options of its groups, and what it runs on, by tag."""
    packages = environment.get("packages")
    versions = {f"{name} (package)": version for name, version in packages.items()} if packages else {}
    plain = {key: value for key, value in environment.items() if key not in ("format", "packages")}
    return {
        "run/command": f"    {record['command']}",
        "run/choices": table(("group", "option"), list(reversed(record["choices"].items()))),  # data and model first
        "run/environment": table(("", ""), list({**plain, **versions}.items())),
    }


def describe_network(layers: Sequence[LayerSummary], network: nn.Module) -> str:
    """The layers as a table, with totals."""
    rows: list[Sequence[Any]] = [
        (
            layer.name,
            layer.kind,
            " x ".join(map(str, layer.shape)),
            f"{layer.num_parameters:,}",
            f"{layer.multiply_adds:,}",
        )
        for layer in layers
    ]
    parameters, multiply_adds = totals(layers, network)
    rows.append(("**total**", "", "", f"**{parameters:,}**", f"**{multiply_adds:,}**"))
    return table(("layer", "kind", "output", "parameters", "multiply-adds"), rows, right=(3, 4))


def describe_end(status: str, reason: str) -> str:
    """How the run ended, and why."""
    return f"**{status}**" + (f"\n\n{_plain(reason)}" if reason else "")


def table(headings: Sequence[str], rows: Sequence[Sequence[Any]], right: Sequence[int] = ()) -> str:
    """A Markdown table."""
    lines = [headings, ["---:" if column in right else "---" for column in range(len(headings))], *rows]
    return "\n".join(f"| {' | '.join(_plain(str(cell)) for cell in line)} |" for line in lines)


def _plain(text: str) -> str:
    """Text in which nothing is read as HTML, or as the edge of a cell."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace("|", "&#124;")
