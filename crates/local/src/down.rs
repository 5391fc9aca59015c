//! `down`: ends the daemon and waits until nothing of the stack is left, then
//! clears its data away. The logs stay.

use std::fs::{self, File, TryLockError};
use std::io::{ErrorKind, Write};
use std::time::Duration;

use anyhow::{Context, Result, bail};

use crate::paths::Paths;
use crate::process::{Identity, marked, wait_gone};
use crate::state::{Standing, State};
use crate::sys::Signal;

/// How long a daemon may take to stop everything before it is killed; its
/// children are killed with it then.
const PATIENCE: Duration = Duration::from_secs(20);

/// How long the kernel may take to take killed processes away.
const KILLED: Duration = Duration::from_secs(10);

/// What was there to stop.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stopped {
    /// Nothing.
    Nothing,
    /// Left-overs of a daemon that had been killed.
    LeftOvers,
    /// A stack.
    Stack,
}

/// The lock that commands which start or stop a stack take in turn; waits for
/// the one that has it.
pub(crate) fn command_lock(paths: &Paths, err: &mut dyn Write) -> Result<File> {
    fs::create_dir_all(paths.root())
        .with_context(|| format!("{} cannot be made", paths.root().display()))?;
    let file = paths.command_lock();
    let cannot = || format!("{} cannot be locked", file.display());
    let lock = File::create(&file).with_context(cannot)?;
    match lock.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => {
            writeln!(
                err,
                "waiting for another trunkline-local that starts or stops this stack"
            )?;
            lock.lock().with_context(cannot)?;
        }
        Err(TryLockError::Error(error)) => return Err(error).with_context(cannot),
    }
    Ok(lock)
}

/// Stops whatever there is of the stack. The caller holds the command lock.
pub(crate) fn stop(paths: &Paths) -> Result<Stopped> {
    // A state that cannot be read does not hide what runs: the mark shows it.
    let standing = Standing::of(paths);
    let left = marked(paths.root());
    let stopped = match &standing {
        Ok(Standing::Up(state, _) | Standing::Starting(state)) => {
            stop_daemon(state);
            Stopped::Stack
        }
        Ok(Standing::Down) if left.is_empty() => Stopped::Nothing,
        Ok(Standing::Down | Standing::Died(_)) | Err(_) => Stopped::LeftOvers,
    };
    end_left_overs(paths)?;
    for file in [paths.state(), paths.options()] {
        remove(fs::remove_file(&file)).with_context(|| format!("{} stays", file.display()))?;
    }
    let clusters = paths.clusters();
    remove(crate::argo_cd::remove(&clusters))
        .with_context(|| format!("{} stays", clusters.display()))?;
    Ok(stopped)
}

fn stop_daemon(state: &State) {
    let daemon = [state.daemon];
    state.daemon.signal(Signal::Terminate);
    if !wait_gone(&daemon, PATIENCE).is_empty() {
        state.daemon.signal(Signal::Kill);
        wait_gone(&daemon, KILLED);
    }
    let children: Vec<Identity> = state.parts.values().map(|part| part.process).collect();
    wait_gone(&children, KILLED);
}

/// Ends what carries the stack's mark although its daemon has gone: children
/// of children, which the kernel does not end with the daemon.
fn end_left_overs(paths: &Paths) -> Result<()> {
    let left = marked(paths.root());
    left.iter().for_each(|process| process.signal(Signal::Kill));
    wait_gone(&left, KILLED);
    // A killed one may have started another one just before.
    let left = marked(paths.root());
    left.iter().for_each(|process| process.signal(Signal::Kill));
    let left = wait_gone(&left, KILLED);
    if left.is_empty() {
        return Ok(());
    }
    let pids: Vec<String> = left.iter().map(|process| process.pid.to_string()).collect();
    bail!("processes that cannot be ended: {}", pids.join(", "))
}

fn remove(result: std::io::Result<()>) -> std::io::Result<()> {
    match result {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
        other => other,
    }
}
