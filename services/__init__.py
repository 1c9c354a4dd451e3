"""The services. Importing one first looks for a compiled build, see rtes.common.compiled."""

import rtes.common  # noqa: F401 - for what its import does
