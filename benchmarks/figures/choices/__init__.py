"""What recipes were chosen over, judged on validation images alone."""

_OTHERS = f"{__name__}.others"

# Recipe, what was chosen, what else might have been, and what trains that.
CHOICES = (
    ("mnist-cnn", "Dropout before the last layer", "none", f"{_OTHERS}:MNIST_CNN_WITHOUT_DROPOUT"),
    (
        "cifar10-cnn",
        "Adam's rate falls to 0 on a cosine",
        "it stays at .001",
        f"{_OTHERS}:CIFAR10_CNN_AT_A_CONSTANT_RATE",
    ),
)
