//! Tests of the program `trunkline-local` as a whole. They need the cached
//! tools, and start stacks of their own beside any that runs.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on ends")]

mod cluster;
mod stack;
mod support;
