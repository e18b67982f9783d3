"""addcow-img: the engine as a command, in the words of qemu-img and qemu-io. A module a subcommand."""

__all__: list[str] = []
