"""The commands of `mqadmin`, one module per subject; `catalog` says which module has which command."""
