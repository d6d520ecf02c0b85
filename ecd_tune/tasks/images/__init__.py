"""Image classification: CIFAR, Tiny ImageNet and ImageNet-1K, with the paper's networks."""

__all__: list[str] = []
