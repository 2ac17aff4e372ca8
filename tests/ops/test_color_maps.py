"""Numbers as colours."""

import torch

from macro_splat.ops.color_maps import IN_FOCUS_PX, coc_colors, difference_colors, focus_peaking, signed_colors


def test_signs_go_to_opposite_ends() -> None:
    before, zero, behind = signed_colors(torch.tensor([[[-5.0], [0.0], [5.0]]]), 5.0)[0]
    assert before[2] > before[0] + 0.3  # blue
    assert behind[0] > behind[2] + 0.3  # red
    assert float(zero.max() - zero.min()) < 0.05


def test_brightness_falls_evenly_to_both_ends() -> None:
    colors = signed_colors(torch.linspace(-1, 1, 101)[None, :, None], 1.0)[0]
    brightness = colors @ torch.tensor([0.2126, 0.7152, 0.0722])
    steps = brightness.diff()
    assert (steps[:45] > 0).all()
    assert (steps[-45:] < 0).all()


def test_circle_scale_is_a_power_of_two_that_holds_what_is_seen() -> None:
    circle = torch.full((20, 20, 1), 2.6)  # diameter 5.2: full colour at 8
    alpha = torch.ones(20, 20, 1)
    torch.testing.assert_close(coc_colors(circle, alpha), signed_colors(2 * circle, 8.0))
    circle[0, 0] = 100.0  # one pixel does not change it
    torch.testing.assert_close(coc_colors(circle, alpha)[1:], signed_colors(2 * circle, 8.0)[1:])


def test_nothing_is_black() -> None:
    assert float(coc_colors(torch.full((4, 4, 1), 3.0), torch.zeros(4, 4, 1)).max()) == 0.0


def test_difference_is_black_where_there_is_none_and_grows() -> None:
    picture = torch.zeros(1, 3, 3)
    other = torch.tensor([0.0, 0.1, 0.9])[None, :, None].expand(1, 3, 3)
    brightness = difference_colors(picture, other).sum(dim=-1)[0]
    assert brightness[0] < 0.05 < brightness[1] < brightness[2]


def test_peaking_marks_edges_in_focus_and_nothing_else() -> None:
    sharp = torch.zeros(8, 8, 3)
    sharp[:, 4:] = 1.0
    circle = torch.zeros(8, 8, 1)
    circle[4:] = 3 * IN_FOCUS_PX
    alpha = torch.ones(8, 8, 1)
    alpha[0] = 0.0
    changed = (focus_peaking(sharp, sharp, circle, alpha) != sharp).any(dim=-1)
    expected = torch.zeros(8, 8, dtype=torch.bool)
    expected[1:4, 4] = True
    assert torch.equal(changed, expected)
