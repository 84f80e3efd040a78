"""Software bills of materials (CycloneDX 1.6) of what an operator installs."""
