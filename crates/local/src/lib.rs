//! trunkline-local: starts and stops the whole local stack.
