"""Scores of probes on the terminal, and their conclusion in words."""

from collections.abc import Sequence

from rich.markup import escape
from rich.table import Table

from ser.console import console
from ser.latents.probes import HELD_OUT, TRAINED, Score, percent


def verdict(scores: Sequence[Score], classifier: str, target: str) -> str:
    """Return whether the classifier's latent encodes the target and another latent the rest.

    Args:
        scores: Result of `probe`.
        classifier: Name of the latent that classifies.
        target: Name of the target.
    """
    by_key = {(score.latent, score.label, score.side): score for score in scores}
    others = [s.latent for s in scores if s.latent != classifier and " + " not in s.latent]
    if not others:
        return f"{classifier} is the only latent, so there is nothing to compare."
    # Of several other latents the one that encodes the target best.
    y, z = classifier, max(others, key=lambda name: by_key[name, target, HELD_OUT].ua or 0)
    y_target, z_target = by_key[y, target, HELD_OUT], by_key[z, target, HELD_OUT]
    y_speaker, z_speaker = by_key[y, "speaker", TRAINED], by_key[z, "speaker", TRAINED]
    for score in (y_target, y_speaker):
        if score.ua is None:
            return f"Whether {y} encodes the {target} cannot be determined: {score.how}."
    has_target, leaks = y_target.above_chance, z_target.above_chance
    has_rest = _number(z_speaker.low) > _number(y_speaker.high)
    holds = [has_target, has_target and not leaks, has_rest]
    judged = "holds" if all(holds) else "holds in part" if any(holds) else "does not hold"
    return (
        f"On held-out data {y} {'predicts' if has_target else 'does not predict'} the {target} "
        f"(UA {percent(y_target)}, chance {100 * _number(y_target.chance):.1f}), and {z} "
        f"{'predicts' if leaks else 'does not predict'} it (UA {percent(z_target)}). On the "
        f"training split {z} identifies speakers {'better' if has_rest else 'no better'} than {y} "
        f"(UA {percent(z_speaker)} and {percent(y_speaker)}, chance "
        f"{100 * _number(z_speaker.chance):.1f}). The hypothesis that {y} encodes the {target} and "
        f"{z} the rest {judged} in this run."
    )


def show(scores: Sequence[Score], conclusion: str, remarks: Sequence[str]) -> None:
    """Print all scores as one table, the conclusion and remarks."""
    columns = list(dict.fromkeys((score.label, score.side) for score in scores))
    table = Table(box=None, header_style="bold", padding=(0, 1))
    table.add_column("probe, UA %\n(95%)")
    for label, side in columns:
        table.add_column(f"{label}\n{side}", justify="right", no_wrap=True)
    for latent in dict.fromkeys(score.latent for score in scores):
        cells = [_cell(score) for score in scores if score.latent == latent]
        table.add_row(escape(latent), *cells)
    first = scores[: len(columns)]
    chances = ("-" if s.chance is None else f"{100 * s.chance:.1f}" for s in first)
    table.add_row("chance", *chances, style="dim")
    table.add_row("utterances", *(str(s.utterances or "-") for s in first), style="dim")
    console.print()
    console.print(table)
    console.print("\n[bold]bold[/bold]: above chance; 95%: over other utterances of these speakers")
    for score in first:
        console.print(f"[dim]{score.label}, {score.side}: {score.how}[/dim]")
    console.print(f"\n{escape(conclusion)}")
    for remark in remarks:
        console.print(f"[yellow]{escape(remark)}[/yellow]")


def _cell(score: Score) -> str:
    if score.ua is None:
        return "-"
    text = f"{100 * score.ua:.1f}"
    text = f"[bold]{text}[/bold]" if score.above_chance else text
    return f"{text}\n[dim]{score.interval}[/dim]"


def _number(value: float | None) -> float:
    return float("nan") if value is None else value
