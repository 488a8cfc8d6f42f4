"""Writes the table of ``sclip weights``: ``python docs/weights.py``. What is in it comes from open_clip; see WORDS."""

import open_clip
from open_clip.pretrained import get_pretrained_cfg

from sclip_lightning.commands.weights import TABLE, Weights
from sclip_lightning.towers.fitting import refusal

__all__ = ["listed"]


def listed() -> str:
    """A line for each model and tag that fits, the version of open_clip above them."""
    rows = [",".join(Weights._fields)]
    for architecture, tag in open_clip.list_pretrained():
        config = open_clip.get_model_config(architecture)
        published = get_pretrained_cfg(architecture, tag)
        if refusal(config) or bool(published.get("quick_gelu")) != bool(config.get("quick_gelu")):
            continue
        vision, text = config["vision_cfg"], config["text_cfg"]
        kind = "plain"
        if "hf_model_name" in text or "hf_tokenizer_name" in text:
            kind = "fetches"
        if vision.get("pool_type") == "avg":
            kind = "mean"
        row = (architecture, tag, vision["layers"], vision["patch_size"], vision["image_size"], kind)
        rows.append(",".join(map(str, row)))
    return f"# open_clip_torch {open_clip.__version__}\n" + "".join(f"{row}\n" for row in rows)


if __name__ == "__main__":
    TABLE.write_text(listed(), encoding="utf-8")
