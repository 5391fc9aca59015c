//! trunkline-local: starts and stops the whole local stack.
//!
//! `up` starts a daemon ([`daemon`]) that hosts the AWS front with the EKS
//! emulator, the Auto Mode stand-in and the chart mirror in its own process
//! and owns every other process of the stack: moto, and per cluster a real
//! control plane ([`control_plane`]). Everything listens on 127.0.0.1 only.
//! What runs is written to `state.json`, which `status`, `env` and `down` read.

mod argo_cd;
mod board;
mod cli;
mod control_plane;
mod daemon;
mod down;
mod environment;
mod events;
mod failure;
mod mirror;
mod moto;
mod options;
mod paths;
mod probe;
mod process;
mod ready;
mod state;
mod status;
mod supervise;
mod sys;
mod toolbox;
mod up;

pub use cli::main;
