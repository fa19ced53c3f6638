"""Which localization belongs to which emitter: the best assignment within a tolerance."""

from __future__ import annotations

import numpy as np

TOLERANCE_UM = 0.1


def match(
    truth_um: np.ndarray, found_um: np.ndarray, tolerance_um: float = TOLERANCE_UM
) -> tuple[np.ndarray, np.ndarray]:
    """Return the pairs of an optimal one-to-one assignment, all closer than the tolerance.

    The assignment (Kuhn 1955) minimizes the sum of 3D distances, in which an unmatched position costs the tolerance.
    So a distant pair never takes the partner of a close one. It is solved separately for each group of positions
    that are linked within the tolerance: the result is the same, and it stays fast in crowded frames.

    Args:
        truth_um: float ``[N, 3]`` (x, y, z), µm.
        found_um: float ``[M, 3]`` (x, y, z), µm.
        tolerance_um: pairs at this 3D distance or more do not count, µm.

    Returns:
        int64 ``[P]`` and int64 ``[P]``: index into ``truth_um`` and into ``found_um`` of each pair, ascending in truth.

    Raises:
        ValueError: an array does not have three columns, or the tolerance is not positive.
    """
    from scipy.optimize import linear_sum_assignment
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components
    from scipy.spatial import cKDTree

    truth_um, found_um = _positions(truth_um, "truth_um"), _positions(found_um, "found_um")
    if not tolerance_um > 0:
        raise ValueError(f"tolerance_um: expected more than 0, got {tolerance_um}")
    near = cKDTree(truth_um).query_ball_tree(cKDTree(found_um), tolerance_um) if len(truth_um) and len(found_um) else []
    rows = np.repeat(np.arange(len(near)), [len(found) for found in near])
    columns = np.array([column for found in near for column in found], np.int64)
    distance = np.linalg.norm(truth_um[rows] - found_um[columns], axis=1)
    inside = distance < tolerance_um
    rows, columns, distance = rows[inside], columns[inside], distance[inside]

    size = len(truth_um) + len(found_um)
    links = coo_array((np.ones(len(rows)), (rows, columns + len(truth_um))), shape=(size, size))
    group = connected_components(links, directed=False)[1][rows] if len(rows) else rows
    order = np.argsort(group, kind="stable")
    pairs: list[tuple[int, int]] = []
    for members in np.split(order, np.flatnonzero(np.diff(group[order])) + 1):
        some_rows, row = np.unique(rows[members], return_inverse=True)
        some_columns, column = np.unique(columns[members], return_inverse=True)
        cost = np.full((len(some_rows), len(some_columns)), tolerance_um)
        cost[row, column] = distance[members]
        for i, j in zip(*linear_sum_assignment(cost), strict=True):
            if cost[i, j] < tolerance_um:
                pairs.append((some_rows[i], some_columns[j]))
    result = np.array(sorted(pairs), np.int64).reshape(-1, 2)
    return result[:, 0], result[:, 1]


def _positions(array: np.ndarray, name: str) -> np.ndarray:
    array = np.asarray(array, np.float64)
    if array.size == 0:
        return array.reshape(0, 3)
    if array.ndim != 2 or array.shape[1] != 3:
        raise ValueError(f"{name}: expected [N, 3] (x, y, z), got shape {array.shape}")
    return array
