"""The options of a run, as words of a command line or keys of a YAML file, made from the fields of a training."""
