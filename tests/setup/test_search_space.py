"""Search spaces: what they hold, and how mistakes in them are told."""

from __future__ import annotations

import pytest
import yaml

from ds3d_tf.common.errors import InputError
from ds3d_tf.setup import load_setup
from ds3d_tf.setup.search_space import changed_setup, load_space, read_space, space_names


def test_spaces_that_ship_fit_their_setups() -> None:
    assert space_names() == ["full", "pixel", "quickstart_voxel"]
    fields = {one.field for one in load_space("quickstart_voxel", load_setup("quickstart_voxel"))}
    for name in ("learning_rate", "filters", "max_dilation", "batch_size", "scaling_factor"):
        assert f"learning.{name}" in fields
    for setup in ("demo1", "demo3", "demo5"):
        load_space("full", load_setup(setup))
    load_space("pixel", load_setup("demo3", ["learning.network=pixel"]))


def test_sections_or_dotted_names_and_back() -> None:
    base = load_setup("quickstart_voxel")
    text = """
    learning:
      learning_rate: {kind: float, range: [1.0e-4, 1.0e-2], log: true}
      batch_size: {values: [4, 8]}
    emitters.count_range: {values: [[1, 7], [1, 15]]}
    learning.filters: {kind: int, range: [8, 24], step: 8}
    """
    space = read_space(yaml.safe_load(text), base)
    assert [one.field.partition(".")[2] for one in space] == ["learning_rate", "batch_size", "count_range", "filters"]
    assert [one.kind for one in space] == ["float", "choice", "choice", "int"]
    assert space[2].values == ((1, 7), (1, 15))
    assert read_space({one.field: one.described() for one in space}, base) == space


def test_the_threshold_keeps_its_share_of_the_largest_confidence() -> None:
    base = load_setup("quickstart_voxel")
    assert base.learning.peak_threshold / base.learning.scaling_factor == 20 / 800
    assert changed_setup(base, {"learning.scaling_factor": 100.0}).learning.peak_threshold == 2.5
    both = {"learning.scaling_factor": 100.0, "learning.peak_threshold": 7.0}
    assert changed_setup(base, both).learning.peak_threshold == 7


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "expected fields of a setup with the values to try"),
        ("learning.learn_rate: {values: [1]}", "there is no such field; did you mean `learning_rate`"),
        ("lerning.filters: {values: [1]}", "no section `lerning`; did you mean `learning`"),
        ("learning.filters: [8, 16]", r"learning.filters: got \[8, 16\]; write {values"),
        ("learning.filters: {kind: integer, range: [8, 16]}", "kind is 'integer'; expected float, int, choice"),
        ("learning.filters: {range: [8, 16]}", "kind is None; expected float, int, choice"),
        ("learning.filters: {kind: int, range: [16, 8]}", "the lower end comes first"),
        ("learning.filters: {kind: int, range: [8.5, 16]}", "kind: int needs whole numbers"),
        ("learning.filters: {kind: int, range: [8]}", r"range is \[8\]; expected \[lowest, highest\]"),
        ("learning.filters: {kind: int, range: [0, 16]}", "learning.filters: .*got 0.*greater than 0"),
        ("learning.filters: {kind: int, range: [8, 16], steps: 8}", "unknown key steps; did you mean `step`"),
        ("learning.filters: {kind: int, range: [8, 16], step: -1}", "step is -1; expected a number above 0"),
        ("learning.filters: {kind: int, values: [8, 16]}", "values are for kind: choice"),
        ("learning.filters: {values: [8, 8]}", "a value occurs twice"),
        ("learning.filters: {values: 8}", "a choice needs values"),
        ("learning.filters: {values: [8], log: true}", "a choice has values only"),
        ("learning.max_dilation: {values: [4, 8]}", "learning.max_dilation: .*got 8"),
        ("learning.learning_rate: {kind: float, range: [1e-4, 1e-2]}", r"write 1.0e-3"),
        ("learning.learning_rate: {kind: float, range: [0, 1.0e-2], log: true}", "must lie above 0"),
        ("learning.learning_rate: {kind: float, range: [1.0e-4, 1.0e-2], log: 10}", "log is 10"),
        ("learning.learning_rate: {kind: float, range: [1.0e-4, 1.0e-2], log: true, step: 1}", r"above 1 \(a ratio\)"),
        ("learning.epochs: {values: [5, 10]}", "learning.epochs: cannot be searched"),
        ("resuming.resume: {values: [true]}", "cannot be searched"),
    ],
)
def test_mistakes_are_told_in_one_line(tmp_path, text, message) -> None:
    path = tmp_path / "space.yaml"
    path.write_text(text)
    with pytest.raises(InputError, match=message) as caught:
        load_space(path, load_setup("quickstart_voxel"))
    assert str(caught.value).startswith(str(path))
    assert "\n" not in str(caught.value)


def test_files_that_cannot_be_read(tmp_path) -> None:
    base = load_setup("quickstart_voxel")
    (tmp_path / "broken.yaml").write_text("learning: {filters: [")
    with pytest.raises(InputError, match="not valid YAML at line 1"):
        load_space(tmp_path / "broken.yaml", base)
    with pytest.raises(InputError, match=r"cannot read the search space .*No such file"):
        load_space(tmp_path / "absent.yaml", base)
    with pytest.raises(InputError, match="neither a search space nor a YAML file; did you mean `quickstart_voxel`"):
        load_space("quickstar", base)
