"""What `COPY INTO` takes and answers, as Snowflake writes it."""

from __future__ import annotations
