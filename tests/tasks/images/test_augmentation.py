"""Crops and flips against explicit slices."""

import math

import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from ecd_tune.tasks.counter import uniform
from ecd_tune.tasks.images._folders import centre_crop, choose_box
from ecd_tune.tasks.images._parts import crop_and_flip
from tests.tasks.images.made import draw_pixels


def test_crop_and_flip_are_slices_of_the_padded_image():
    pixels = torch.from_numpy(draw_pixels(40, 10, 6, 0)[0])
    key, rows = torch.tensor(4), torch.arange(100, 140)
    result = crop_and_flip(pixels, 2, key, rows)
    draws = uniform(key, rows, 3)
    offsets, mirrored = (5 * draws[:, :2]).long().T, draws[:, 2] < 0.5
    assert 5 < mirrored.sum() < 35
    assert set(offsets.flatten().tolist()) == {0, 1, 2, 3, 4}
    for image, cropped, (top, left), mirror in zip(
        pixels.numpy(), result.numpy(), offsets.T.tolist(), mirrored.tolist(), strict=True
    ):
        padded = np.pad(image, ((2, 2), (2, 2), (0, 0)))
        expected = padded[top : top + 6, left : left + 6]
        assert np.array_equal(cropped, expected[:, ::-1] if mirror else expected)


@given(
    st.integers(1, 900),
    st.integers(1, 900),
    st.lists(st.floats(0, 1, exclude_max=True), min_size=23, max_size=23),
)
def test_a_resized_crop_lies_inside_and_has_an_allowed_shape(width, height, draw):
    left, top, right, bottom = choose_box(width, height, draw)
    assert 0 <= left < right <= width
    assert 0 <= top < bottom <= height
    w, h = right - left, bottom - top
    # One pixel of rounding in each side, more than which no ratio and no area may be off.
    assert (w + 1) / max(h - 1, 0.5) >= 3 / 4
    assert (w - 1) / (h + 1) <= 4 / 3
    ordinary = 3 / 4 < width / height < 4 / 3
    assert not ordinary or (w + 1) * (h + 1) >= 0.08 * width * height


def test_a_resized_crop_takes_the_first_pair_that_fits():
    # 8 % + 0.5·92 % = 54 % of 100x100 at ratio 1: 73x73; its place: half of the room left.
    draw = [0.5] * 23
    assert choose_box(100, 100, draw) == (14, 14, 87, 87)
    # The whole area at ratio 4/3 does not fit; the second pair does.
    draw[0], draw[1] = 1.0, 1.0
    assert choose_box(100, 100, draw) == (14, 14, 87, 87)


def test_when_nothing_fits_the_middle_is_taken():
    assert choose_box(400, 100, [0.999999] * 23) == (133, 0, 266, 100)
    assert choose_box(100, 400, [0.999999, 0.0] * 11 + [0.0]) == (0, 133, 100, 266)


def test_centre_crop_is_that_of_256_for_224():
    image = Image.fromarray(draw_pixels(1, 1, 300, 0)[0][0][:, :280])
    height = int(256 * 300 / 280)  # 274: cut down from 274.3
    resized = np.asarray(image.resize((256, height), Image.Resampling.BILINEAR))
    assert np.array_equal(centre_crop(image, 224), resized[25:249, 16:240])
    assert math.isclose(height, 274)
