//! End-to-end tests: the real binary, real registries, real containers; a module for each behaviour that a user sees.
