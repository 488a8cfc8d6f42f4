"""A SAM 2 of 59 thousand random weights, as a folder that ``transformers`` reads."""

from pathlib import Path

import torch

#: Side of the images that it sees.
SIDE = 64


def write_sam(folder: Path) -> str:
    """Write it; the same weights each time. Returns the folder."""
    from transformers import Sam2Config, Sam2ImageProcessor, Sam2Model, Sam2Processor

    backbone = {
        "model_type": "sam2_hiera_det_model",
        "hidden_size": 8,
        "num_attention_heads": 1,
        "blocks_per_stage": [1, 1, 2, 1],
        "embed_dim_per_stage": [8, 16, 32, 64],
        "num_attention_heads_per_stage": [1, 1, 2, 4],
        "window_size_per_stage": [4, 2, 2, 2],
        "global_attention_blocks": [3],
        "image_size": [SIDE, SIDE],
        "window_positional_embedding_background_size": [4, 4],
        "mlp_ratio": 2.0,
    }
    vision = {
        "backbone_config": backbone,
        "backbone_channel_list": [64, 32, 16, 8],
        "backbone_feature_sizes": [[SIDE // 4] * 2, [SIDE // 8] * 2, [SIDE // 16] * 2],
        "fpn_hidden_size": 16,
    }
    prompts = {"hidden_size": 16, "image_size": SIDE, "patch_size": 16, "mask_input_channels": 4}
    decoder = {
        "hidden_size": 16,
        "mlp_dim": 16,
        "num_hidden_layers": 1,
        "num_attention_heads": 2,
        "iou_head_hidden_dim": 16,
    }
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        network = Sam2Model(
            Sam2Config(vision_config=vision, prompt_encoder_config=prompts, mask_decoder_config=decoder)
        )
        for parameter in network.parameters():  # as drawn, all points have nearly the same mask
            if parameter.ndim > 1:
                torch.nn.init.normal_(parameter, std=0.2)
    network.save_pretrained(folder)
    Sam2Processor(Sam2ImageProcessor(size={"height": SIDE, "width": SIDE}), target_size=SIDE).save_pretrained(folder)
    return str(folder)
