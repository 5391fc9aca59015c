//! moto, the open-source AWS emulator behind the front: started on a free
//! port of 127.0.0.1, ended when its handle is dropped or its parent dies.

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::thread::JoinHandle;

/// Serves moto on a free port, prints the port; dies with the thread that started it.
const SERVE: &str = include_str!("serve_moto.py");

/// Why moto could not be started.
#[derive(Debug, thiserror::Error)]
pub enum MotoError {
    /// The script `moto_server` could not be read.
    #[error("cannot read {path}: {source}")]
    Unreadable {
        /// The file that was tried.
        path: PathBuf,
        /// What the operating system said.
        source: std::io::Error,
    },
    /// There is no Python interpreter that belongs to `moto_server`.
    #[error("{0} names no Python interpreter in its first line")]
    NoInterpreter(PathBuf),
    /// The process, its thread or its log could not be made.
    #[error("cannot start moto: {0}")]
    Start(#[from] std::io::Error),
    /// The process ended before it listened.
    #[error("moto ended before it listened; its last lines:\n{0}")]
    Ended(String),
}

/// A running moto. Dropping it ends the process.
#[derive(Debug)]
pub struct Moto {
    address: SocketAddr,
    pid: u32,
    python: PathBuf,
    stop: Option<mpsc::Sender<()>>,
    keeper: Option<JoinHandle<()>>,
}

impl Moto {
    /// Starts moto by the interpreter that `moto_server` belongs to, for one
    /// account, with AWS's managed policies; its output goes to `log`.
    ///
    /// Blocks until moto listens (below one second on a warm disk).
    pub fn start(moto_server: &Path, account: &str, log: &Path) -> Result<Self, MotoError> {
        let python = interpreter(moto_server)?;
        let mut command = Command::new(&python);
        command
            .args(["-c", SERVE, &std::process::id().to_string()])
            .env("MOTO_ACCOUNT_ID", account)
            .env("MOTO_IAM_LOAD_MANAGED_POLICIES", "true")
            .env("PYTHONDONTWRITEBYTECODE", "1")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(File::create(log)?);
        let (started, answer) = mpsc::channel();
        let (stop, stopped) = mpsc::channel::<()>();
        // The kernel ends a child with the *thread* that made it, so that thread
        // has to live as long as the child: it does nothing but wait for the end.
        let keeper = std::thread::Builder::new()
            .name("moto".into())
            .spawn(move || {
                match listen(command) {
                    Ok((mut child, port)) => {
                        let _ = started.send(Ok((child.id(), port)));
                        let _ = stopped.recv();
                        let _ = child.kill();
                        let _ = child.wait();
                    }
                    Err(error) => drop(started.send(Err(error))),
                };
            })?;
        match answer.recv() {
            Ok(Ok((pid, port))) => Ok(Self {
                address: SocketAddr::from((Ipv4Addr::LOCALHOST, port)),
                pid,
                python,
                stop: Some(stop),
                keeper: Some(keeper),
            }),
            Ok(Err(Some(error))) => Err(error.into()),
            Ok(Err(None)) | Err(_) => Err(MotoError::Ended(last_lines(log))),
        }
    }

    /// Where moto listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// moto's URL, for clients that go past the front.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The interpreter that runs it, which has boto3 beside moto.
    pub fn python(&self) -> &Path {
        &self.python
    }

    /// The process id.
    pub fn pid(&self) -> u32 {
        self.pid
    }
}

impl Drop for Moto {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(keeper) = self.keeper.take() {
            let _ = keeper.join();
        }
    }
}

/// Starts the process and waits for its port; `None` when it ended before.
fn listen(mut command: Command) -> Result<(Child, u16), Option<std::io::Error>> {
    let mut child = command.spawn().map_err(Some)?;
    let mut line = String::new();
    if let Some(output) = child.stdout.take() {
        BufReader::new(output).read_line(&mut line).map_err(Some)?;
    }
    match line.trim().parse() {
        Ok(port) => Ok((child, port)),
        Err(_) => {
            let _ = child.kill();
            let _ = child.wait();
            Err(None)
        }
    }
}

/// The interpreter in the `#!` line of an installed script, which is the one
/// that has moto in its site-packages.
fn interpreter(script: &Path) -> Result<PathBuf, MotoError> {
    let unreadable = |source| MotoError::Unreadable {
        path: script.to_path_buf(),
        source,
    };
    let mut first = String::new();
    let file = File::open(script).map_err(unreadable)?;
    BufReader::new(file)
        .read_line(&mut first)
        .map_err(unreadable)?;
    match first.strip_prefix("#!").map(str::trim) {
        // pip writes `#!/bin/sh` when the path is too long or has a space;
        // the interpreter then stands beside the script.
        Some("/bin/sh") => Ok(script.with_file_name("python3")),
        Some(path) if !path.is_empty() => Ok(PathBuf::from(path)),
        _ => Err(MotoError::NoInterpreter(script.to_path_buf())),
    }
}

fn last_lines(log: &Path) -> String {
    let text = std::fs::read_to_string(log).unwrap_or_default();
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(10)..].join("\n")
}
