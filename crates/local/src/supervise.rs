//! Child processes: started from one thread that lives as long as the daemon
//! (the kernel ends a child with the *thread* that started it), each in a
//! process group of its own, with a log, known to the board, and ended as a
//! whole group.

use std::ffi::OsString;
use std::fs::File;
use std::io;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, mpsc};

use anyhow::{Context, Result};
use tokio::sync::{oneshot, watch};

use crate::board::Board;
use crate::failure::PartFailed;
use crate::process::{Identity, MARK};
use crate::state::PartState;
use crate::sys::{self, Signal};

/// A process to start.
#[derive(Debug, Clone)]
pub(crate) struct Part {
    /// Its name in messages, in the state and in `status`.
    pub(crate) name: String,
    /// The program.
    pub(crate) program: PathBuf,
    /// Its arguments.
    pub(crate) args: Vec<OsString>,
    /// Its environment, beside PATH, HOME and TMPDIR.
    pub(crate) env: Vec<(OsString, OsString)>,
    /// Its current folder, which is its HOME and TMPDIR too: no part reads or
    /// writes the user's own.
    pub(crate) folder: PathBuf,
    /// Where its output goes.
    pub(crate) log: PathBuf,
}

impl Part {
    /// A process without arguments.
    pub(crate) fn new(
        name: impl Into<String>,
        program: impl Into<PathBuf>,
        folder: PathBuf,
        log: PathBuf,
    ) -> Self {
        Self {
            name: name.into(),
            program: program.into(),
            args: Vec::new(),
            env: Vec::new(),
            folder,
            log,
        }
    }

    /// Adds arguments.
    pub(crate) fn args<A: Into<OsString>>(mut self, args: impl IntoIterator<Item = A>) -> Self {
        self.args.extend(args.into_iter().map(Into::into));
        self
    }

    /// Adds a variable to its environment.
    pub(crate) fn env(mut self, name: impl Into<OsString>, value: impl Into<OsString>) -> Self {
        self.env.push((name.into(), value.into()));
        self
    }

    fn command(&self, mark: &OsString) -> Result<Command> {
        std::fs::create_dir_all(&self.folder)
            .with_context(|| format!("{} cannot be made", self.folder.display()))?;
        let log = File::create(&self.log)
            .with_context(|| format!("{} cannot be written", self.log.display()))?;
        let mut command = Command::new(&self.program);
        command
            .args(&self.args)
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .env("HOME", &self.folder)
            .env("TMPDIR", &self.folder)
            .env(MARK, mark)
            .envs(self.env.iter().map(|(name, value)| (name, value)))
            .current_dir(&self.folder)
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .process_group(0);
        sys::die_with_parent(&mut command);
        Ok(command)
    }
}

/// An order to the thread that starts children.
struct Order {
    command: Command,
    answer: oneshot::Sender<io::Result<Child>>,
}

/// Starts children. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Supervisor {
    orders: mpsc::Sender<Order>,
    board: Arc<Board>,
    mark: OsString,
}

impl Supervisor {
    /// Starts the thread. It ends when the last supervisor is dropped, and
    /// takes what is left of the children with it.
    pub(crate) fn new(board: Arc<Board>, stack: PathBuf) -> Result<Self> {
        let (orders, queue) = mpsc::channel::<Order>();
        let serve = move || {
            for Order {
                mut command,
                answer,
            } in queue
            {
                // Nobody waits for the answer any more: the child has to go.
                if let Err(Ok(mut child)) = answer.send(command.spawn()) {
                    let _ = child.kill();
                    let _ = child.wait();
                }
            }
        };
        std::thread::Builder::new()
            .name("children".into())
            .spawn(serve)
            .context("no thread for the children")?;
        Ok(Self {
            orders,
            board,
            mark: stack.into_os_string(),
        })
    }

    /// Starts a process.
    pub(crate) async fn start(&self, part: &Part) -> Result<Running> {
        let (answer, started) = oneshot::channel();
        let command = part.command(&self.mark)?;
        let cannot = || {
            format!(
                "{} cannot be started: {}",
                part.name,
                part.program.display()
            )
        };
        self.orders
            .send(Order { command, answer })
            .ok()
            .with_context(cannot)?;
        let child = started.await.with_context(cannot)?.with_context(cannot)?;
        self.watch(part, child)
    }

    /// Follows a started child to its end.
    fn watch(&self, part: &Part, mut child: Child) -> Result<Running> {
        let pid = child.id();
        // A child that has ended already is told by the wait below.
        let process = Identity::of(pid).unwrap_or(Identity { pid, start_time: 0 });
        let state = PartState {
            process,
            log: part.log.clone(),
            ended: None,
        };
        self.board
            .update(|all| drop(all.parts.insert(part.name.clone(), state)));
        let (tell, ended) = watch::channel(None);
        let told_to_end = Arc::new(AtomicBool::new(false));
        let running = Running {
            name: part.name.clone(),
            process,
            log: part.log.clone(),
            ended,
            told_to_end: told_to_end.clone(),
            board: self.board.clone(),
        };
        let (board, name, log) = (self.board.clone(), part.name.clone(), part.log.clone());
        let follow = move || {
            let how = match child.wait() {
                Ok(status) => status.to_string(),
                Err(error) => format!("unknown: {error}"),
            };
            if told_to_end.load(Ordering::SeqCst) {
                board.update(|all| drop(all.parts.remove(&name)));
            } else {
                let failed = PartFailed::new(&name, format!("ended by itself ({how})"), &log);
                tracing::error!("{failed}");
                board.update_part(&name, |part| part.ended = Some(how.clone()));
            }
            tell.send_replace(Some(how));
        };
        std::thread::Builder::new()
            .name(part.name.clone())
            .spawn(follow)
            .context("no thread for a child")?;
        Ok(running)
    }
}

/// A started process. Dropping it ends it with all that it started.
#[derive(Debug)]
pub(crate) struct Running {
    name: String,
    process: Identity,
    log: PathBuf,
    ended: watch::Receiver<Option<String>>,
    told_to_end: Arc<AtomicBool>,
    board: Arc<Board>,
}

impl Running {
    /// How it ended, if it did.
    pub(crate) fn ended(&self) -> Option<String> {
        self.ended.borrow().clone()
    }

    /// Until it has ended.
    pub(crate) async fn until_ended(&self) {
        // The sender lives until the end was told.
        let _ = self.ended.clone().wait_for(Option::is_some).await;
    }

    /// An error about it, with its last lines.
    pub(crate) fn failed(&self, why: impl Into<String>) -> PartFailed {
        PartFailed::new(&self.name, why, &self.log)
    }

    /// Ends it with all that it started, and waits until it is gone.
    pub(crate) async fn stop(self) {
        self.kill();
        self.until_ended().await;
        // One that had ended by itself stood there with how it did.
        self.board.update(|all| drop(all.parts.remove(&self.name)));
    }

    fn kill(&self) {
        self.told_to_end.store(true, Ordering::SeqCst);
        sys::signal_group(self.process.pid, Signal::Kill);
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if self.ended().is_none() {
            self.kill();
        }
    }
}
