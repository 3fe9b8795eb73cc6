"""What every section of the configuration has in common."""

from pydantic import BaseModel, ConfigDict


class Strict(BaseModel):
    """Base of every section: an unknown key or a wrong type is an error, and values never change after validation."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True, validate_default=True)
