"""A parser for commands that take nothing but the model from a configuration of ``sclip test``."""

import sys
from pathlib import Path
from typing import Any

import yaml
from jsonargparse import Namespace

from sclip_lightning.commands.parsing.imports import GuardedParser
from sclip_lightning.errors import ConfigError

__all__ = ["ModelParser"]

#: Sections by which a configuration of ``sclip test`` is told.
_TEST_SECTIONS = {"trainer", "data", "panels", "name", "seed_everything"}


class ModelParser(GuardedParser):
    """Takes from a configuration of ``sclip test`` its model section alone, and says so."""

    def parse_path(self, cfg_path: Any, *args: Any, **kwargs: Any) -> Namespace:
        """Parse one configuration file."""
        try:
            content = yaml.safe_load(Path(str(cfg_path)).read_text(encoding="utf-8"))
        except (yaml.YAMLError, UnicodeDecodeError) as error:
            msg = f"{cfg_path} (--config) is no YAML: {' '.join(str(error).split())}. Correct it, or name another file."
            raise ConfigError(msg) from error
        if not isinstance(content, dict) or not content.keys() & _TEST_SECTIONS:
            return super().parse_path(cfg_path, *args, **kwargs)
        ignored = sorted(content.keys() - {"model"})
        sys.stderr.write(f"Note: {self.prog} takes only the model from {cfg_path}, not {', '.join(ignored)}.\n")
        return self.parse_string(yaml.safe_dump({"model": content.get("model") or {}}), **kwargs)
