"""Which of CLIP's blocks CorrCLIP and OV-Stitcher (arXiv 2411.10086, 2604.08110) average beside the last."""

from sclip_lightning.errors import ConfigError

__all__ = ["middle_blocks"]

#: How many, by number of blocks (released code); all but four for others.
PUBLISHED = {12: 5, 24: 12, 32: 28}


def middle_blocks(part: str, depth: int, number: int | None) -> range:
    """Numbers of the middle blocks, the last of which is two before the tower's last.

    Args:
        part: Who asks, for the message.
        depth: Number of the tower's blocks.
        number: How many are wanted; None takes what is published.

    Raises:
        ConfigError: There are not as many, or none is left.
    """
    wanted = PUBLISHED.get(depth, depth - 4) if number is None else number
    if not 1 <= wanted <= depth - 2:
        msg = (
            f"{part} averages {wanted} middle blocks, but a tower of {depth} blocks has {max(depth - 2, 0)} before its "
            "last two. Set --model.decoder.middle_blocks to at least 1 and at most that, or choose another "
            "--model.architecture."
        )
        raise ConfigError(msg)
    return range(depth - 1 - wanted, depth - 1)
