"""Runs as one page for a browser, which needs neither a server nor a network."""

from sclip_lightning.reports.html.content import KINDS, Report, RunView, choose, describe
from sclip_lightning.reports.html.packed import PackedImage, pack
from sclip_lightning.reports.html.page import check_target, write_page

__all__ = [
    "KINDS",
    "PackedImage",
    "Report",
    "RunView",
    "check_target",
    "choose",
    "describe",
    "pack",
    "write_page",
]
