"""What two services must agree on. Importing anything of it first looks for a compiled build."""

from rtes.common import compiled

compiled.install()
