"""open_clip, imported when it is first asked for something.

It brings torchvision and, where that is installed, transformers, which takes four seconds. A command that ends with a
word about its arguments, and parts that are used without CLIP, need not wait for them.
"""

from typing import Any

__all__: list[str] = []


def __getattr__(name: str) -> Any:
    import open_clip

    return getattr(open_clip, name)
