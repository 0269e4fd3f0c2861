"""What a location can do, found out by a list of probes; each says why it failed and what to do."""

from cm4storage.storage.diagnosis.findings import Diagnosis, Finding
from cm4storage.storage.diagnosis.runner import diagnose

__all__ = ["Diagnosis", "Finding", "diagnose"]
