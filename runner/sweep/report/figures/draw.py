"""All figures of a sweep. Darker is better in all of them, and every key has the scale that it is drawn in."""

import io
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from runner.files import replace_file
from runner.sweep.report.figures import parallel_coordinates, search_space, slice
from runner.sweep.report.figures.history import CAPTION as HISTORY_CAPTION
from runner.sweep.report.figures.history import draw_history
from runner.sweep.report.figures.importance import CAPTION as IMPORTANCE_CAPTION
from runner.sweep.report.figures.importance import compute_importance, draw_importance, left_out
from runner.sweep.report.figures.style import STYLE, NothingToDraw
from runner.sweep.report.history import SweepHistory

DPI = 130


@dataclass(frozen=True)
class ReportFigure:
    """One figure, or the reason why there is none.

    Args:
        caption: how to read it.
    """

    name: str
    caption: str
    png: bytes | None = None
    reason: str = ""


def draw_figures(history: SweepHistory, folder: Path, warn: Callable[[str], None]) -> list[ReportFigure]:
    """Draw all figures into a folder; one that fails is warned of and left out."""
    try:
        importance = compute_importance(history)
    except Exception as error:
        importance = f"the forest failed ({type(error).__name__}: {error})"
        warn(f"importance.png: {importance}")
    ranked = history, importance
    painters: dict[str, tuple[Callable[[], Any], str]] = {
        "search_space": (partial(search_space.draw_search_space, *ranked), search_space.caption(*ranked)),
        "slice": (partial(slice.draw_slice, *ranked), slice.CAPTION + left_out(*ranked, slice.MAX_KEYS)),
        "history": (partial(draw_history, history), HISTORY_CAPTION),
        "importance": (partial(draw_importance, importance), IMPORTANCE_CAPTION),
        "parallel_coordinates": (
            partial(parallel_coordinates.draw_parallel_coordinates, *ranked),
            parallel_coordinates.CAPTION + left_out(*ranked, parallel_coordinates.MAX_KEYS),
        ),
    }
    return [_draw(name, paint, caption, folder, warn) for name, (paint, caption) in painters.items()]


def _draw(name: str, paint: Callable[[], Any], caption: str, folder: Path, warn: Callable[[str], None]) -> ReportFigure:
    import matplotlib as mpl

    path = folder / f"{name}.png"
    path.unlink(missing_ok=True)  # that of an earlier end
    try:
        with mpl.rc_context(STYLE):
            png = io.BytesIO()
            paint().savefig(png, dpi=DPI, format="png")
        replace_file(path, png.getvalue())
        return ReportFigure(name, caption, png.getvalue())
    except NothingToDraw as reason:
        return ReportFigure(name, caption, reason=str(reason))
    except Exception as error:
        warn(f"{name}.png could not be drawn: {type(error).__name__}: {error}")
        return ReportFigure(name, caption, reason=f"it could not be drawn ({type(error).__name__}: {error})")
