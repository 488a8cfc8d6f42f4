"""The subcommands of ``sclip``, each imported only when it runs."""
