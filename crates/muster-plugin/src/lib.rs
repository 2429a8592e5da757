//! What a plugin author sees: traits, contexts, the registry's row type, the compliance harness.
