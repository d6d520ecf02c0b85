"""Small data sets in the official layouts, byte by byte."""

from __future__ import annotations

import io
import struct
import tarfile
from pathlib import Path

import numpy as np
from PIL import Image

WNIDS = ("n03", "n01", "n02")  # not sorted: the order of the list counts


def draw_pixels(count, classes, side, seed):
    """Noise around a colour that tells the class; classes take turns."""
    random = np.random.default_rng(seed)
    labels = np.arange(count) % classes
    base = np.stack([labels * 97 % 200, labels * 31 % 200, labels * 61 % 200], 1)
    noise = random.integers(0, 56, (count, side, side, 3))
    return (base[:, None, None, :] + noise).astype(np.uint8), labels


def encode(pixels, kind="PNG", mode="RGB"):
    buffer = io.BytesIO()
    Image.fromarray(pixels).convert(mode).save(buffer, kind)
    return buffer.getvalue()


def cifar_binary(pixels, labels, coarse=False):
    planes = pixels.transpose(0, 3, 1, 2).reshape(len(labels), -1)
    head = np.stack([labels // 5, labels], 1) if coarse else labels[:, None]
    return np.concatenate([head.astype(np.uint8), planes], 1).tobytes()


def cifar_pickle(pixels, labels, key):
    """A batch as Python 2 pickled it: strings without encoding, which Python 3 cannot write."""
    data = np.ascontiguousarray(pixels.transpose(0, 3, 1, 2)).tobytes()
    text = lambda s: b"U" + bytes([len(s)]) + s  # noqa: E731
    integer = lambda n: b"J" + struct.pack("<i", n)  # noqa: E731
    dtype = b"cnumpy\ndtype\n(" + text(b"u1") + b"K\x00K\x01tR"
    dtype += b"(K\x03" + text(b"|") + b"NNN" + integer(-1) + integer(-1) + b"K\x00tb"
    array = b"cnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\n(K\x00t" + text(b"b") + b"tR"
    array += b"(K\x01(" + integer(len(labels)) + integer(3072) + b"t" + dtype + b"\x89"
    array += b"T" + struct.pack("<i", len(data)) + data + b"tb"
    numbers = b"](" + b"".join(integer(int(label)) for label in labels) + b"e"
    return b"\x80\x02}(" + text(b"data") + array + text(key) + numbers + b"u."


def pack_tar(path, files):
    with tarfile.open(path, "w:gz") as archive:
        for name, data in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))


def tiny_files(side=64):
    """Tiny ImageNet's official layout: three classes, twelve and four images; some are grey."""
    files = {}
    for k, wnid in enumerate(WNIDS):
        pixels, _ = draw_pixels(12, 1, side, k)
        for i in range(12):
            mode = "L" if i == 0 else "RGB"
            files[f"tiny-imagenet-200/train/{wnid}/images/{wnid}_{i}.JPEG"] = encode(
                pixels[i], "JPEG", mode
            )
    pixels, _ = draw_pixels(12, 1, side, 9)
    lines = []
    for i in range(12):
        files[f"tiny-imagenet-200/val/images/val_{i}.JPEG"] = encode(pixels[i], "JPEG")
        lines.append(f"val_{i}.JPEG\t{WNIDS[i % 3]}\t0\t0\t62\t62\n")
    files["tiny-imagenet-200/val/val_annotations.txt"] = "".join(lines).encode()
    files["tiny-imagenet-200/wnids.txt"] = "\n".join(WNIDS).encode() + b"\n"
    return files


def write_imagenet(folder: Path):
    """Three classes of different shapes, in folders by class."""
    for part, count in (("train", 8), ("val", 3)):
        for k, wnid in enumerate(sorted(WNIDS)):
            (folder / part / wnid).mkdir(parents=True)
            pixels, _ = draw_pixels(count, 1, 96, k)
            for i in range(count):
                image = pixels[i, : 70 + 3 * i]
                (folder / part / wnid / f"{wnid}_{i}.JPEG").write_bytes(encode(image, "JPEG"))
