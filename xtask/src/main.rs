//! Development commands: `cargo xtask --help` lists them. They run the other
//! programs; what a person could not also do by hand is not done here.

mod arguments;
mod cargo;
mod ci;
mod environment;
mod run;
mod test;
mod tidy;
mod timing;
mod tools;

use std::process::ExitCode;

use clap::Parser;

use arguments::{Arguments, Task, Verb};

fn main() -> ExitCode {
    let arguments = Arguments::parse_from(arguments::ours_first(std::env::args_os()));
    let result = match arguments.task {
        Task::Deploy(on) => environment::run(Verb::Deploy, &on),
        Task::Plan(on) => environment::run(Verb::Plan, &on),
        Task::Status(on) => environment::run(Verb::Status, &on),
        Task::Destroy(on) => environment::run(Verb::Destroy, &on),
        Task::Bootstrap(on) => environment::run(Verb::Bootstrap, &on),
        Task::History(on) => environment::run(Verb::History, &on),
        Task::Kubeconfig(on) => environment::run(Verb::Kubeconfig, &on),
        Task::Tools { names } => tools::run(&names),
        Task::Test {
            unit,
            thorough,
            rest,
        } => test::run(unit, thorough, &rest),
        Task::Tidy => tidy::run(),
        Task::Ci => ci::run(),
    };
    result.unwrap_or_else(|error| {
        eprintln!("error: {error:#}");
        ExitCode::FAILURE
    })
}
