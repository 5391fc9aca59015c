//! The program `trunkline-local`; all of it is in the library.

use std::io::{stderr, stdout};
use std::process::ExitCode;

fn main() -> ExitCode {
    trunkline_local::main(std::env::args_os(), &mut stdout(), &mut stderr())
}
