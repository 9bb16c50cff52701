"""The studies: each module here defines `STUDY`, and is offered by its name."""
