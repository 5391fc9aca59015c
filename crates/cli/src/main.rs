//! The command line `trunkline`.
fn main() {}
