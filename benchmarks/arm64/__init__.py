"""An arm64 machine in user space: QEMU, Debian's arm64 Python and the interpreters' real aarch64 wheels."""
