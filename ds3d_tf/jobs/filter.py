"""The job of `ds3d filter`: keep the molecules that fulfil rules."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from ds3d_tf.common.errors import InputError, argument
from ds3d_tf.common.options import takes_options
from ds3d_tf.options import FilterOptions

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy as np

    from ds3d_tf.postprocessing.molecules.molecules import Molecules


@dataclass(frozen=True)
class FilteredTable:
    """What was written; ``taken`` holds each rule and how many rows it removed, in order."""

    table: Path
    rows: int
    kept: int
    taken: list[tuple[str, int]]

    def summary(self) -> str:
        """Return what each rule removed, and what is left."""
        width = max((len(rule) for rule, _ in self.taken), default=0)
        lines = [f"{rule:<{width}}  removed {count}" for rule, count in self.taken]
        lines.append(f"{self.kept} of {self.rows} molecules kept")
        lines.append(f"table: {self.table}")
        return "\n".join(lines)


@takes_options(FilterOptions)
def filter(molecules: str | Path, out: str | Path, options: FilterOptions, *, overwrite: bool = False) -> FilteredTable:
    """Keep the molecules of a table that fulfil all rules.

    Args:
        molecules: table, in any form that ``read_molecules`` reads.
        out: table to write.
        options: see :class:`~ds3d_tf.options.FilterOptions`; its fields may be given as keywords instead.
        overwrite: whether to replace an earlier table.

    Raises InputError for a table, rule or output that cannot be used, or if no molecule is left.
    """
    from ds3d_tf.postprocessing.molecules.writing import refuse_existing_table

    out = refuse_existing_table(out, overwrite)

    from ds3d_tf.postprocessing.filtering.rules import parse_rule
    from ds3d_tf.postprocessing.molecules.reading import read_molecules

    for text in options.keep:
        parse_rule(text)  # a mistake is told before a large table is read
    table = read_molecules(molecules, camera_pixel_nm=options.camera_pixel_nm, drop_incomplete=options.drop_incomplete)
    rows, taken = len(table) + table.incomplete, []
    if options.drop_incomplete:
        taken.append(("no position", table.incomplete))
    for name, keep in _rules(options):
        kept = keep(table)
        taken.append((name, int(len(kept) - kept.sum())))
        table = table.where(kept)
        if not len(table):
            raise InputError(f"{molecules}: no molecule is left after {name}; nothing was written")
    if not taken:
        raise InputError(f"nothing to do: give a rule, such as {argument('keep')} 'uncertainty_z<40'")
    step = "filter: " + "; ".join(f"{name} removed {count}" for name, count in taken)
    table.changed(table.table, step).save(out)
    return FilteredTable(Path(out), rows, len(table), taken)


def _rules(options: FilterOptions) -> Iterator[tuple[str, Callable[[Molecules], np.ndarray]]]:
    """Yield the name of each rule and what it keeps, cheap ones first."""
    from ds3d_tf.postprocessing.filtering.places import count_neighbours, inside_border, inside_region
    from ds3d_tf.postprocessing.filtering.rules import keep_by_rule, parse_rule

    if options.frames is not None:
        first, last = options.frames
        if last < first:
            raise InputError(f"{argument('frames')} {first} {last}: expected the smaller one first")
        yield f"frames {first} to {last}", lambda table: (table.frame >= first) & (table.frame <= last)
    for text in options.keep:
        rule = parse_rule(text)
        yield text, lambda table, rule=rule: keep_by_rule(table, rule)  # type: ignore[misc]
    region_nm, border_nm, neighbours = options.region_nm, options.border_nm, options.neighbours
    if region_nm is not None:
        shown = " ".join(f"{edge:g}" for edge in region_nm)
        yield f"region {shown} nm", lambda table: inside_region(table, region_nm)
    if border_nm is not None:
        yield f"border {border_nm:g} nm", lambda table: inside_border(table, border_nm)
    if neighbours is not None:
        name = f"{neighbours} neighbours within {options.radius_nm:g} nm"
        yield name, lambda table: count_neighbours(table, options.radius_nm) >= neighbours
