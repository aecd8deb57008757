"""What OpenEmbedded's classes make of our recipes: ``make test-layer OE_ROOT=...`` (docs/yocto-validation.md)."""
