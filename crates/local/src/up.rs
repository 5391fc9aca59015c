//! `up`: finds the tools, starts the daemon, and stays until everything is
//! ready, one part has failed, or someone presses Ctrl-C; only in the first
//! case does anything go on running.

use std::fs::{self, File};
use std::io::Write;
use std::process::{Command, Stdio};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, bail};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::Child;
use tokio::signal::unix::{SignalKind, signal};
use trunkline_fake_aws::faults::Pace;
use trunkline_tools::{Progress, Tool};

use crate::down::{self, Stopped};
use crate::events::{self, Event};
use crate::failure::PartFailed;
use crate::options::{ACCOUNT, Options};
use crate::paths::Paths;
use crate::process::MARK;
use crate::state::{Standing, State};
use crate::sys::{self, Signal};
use crate::toolbox::{GivenTool, Toolbox};

/// Variables of the user's that must not reach the daemon and its parts: they
/// speak to 127.0.0.1 only, and moto must be as we set it up.
const PRIVATE: [&str; 5] = ["AWS_", "MOTO_", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"];

/// What is asked for; what is not said does not matter where a stack is up.
#[derive(Debug, Clone, Default)]
pub(crate) struct Wish {
    pub(crate) name: String,
    pub(crate) account: Option<String>,
    pub(crate) pace: Option<Pace>,
    pub(crate) port: Option<u16>,
    pub(crate) charts: Option<String>,
    pub(crate) tools: Vec<GivenTool>,
}

/// How `up` ended, if not in an error.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// It was up before.
    Already,
    /// It is up now.
    Started(Duration),
    /// It was interrupted; nothing runs.
    Interrupted,
}

/// A wish that contradicts what is there. Nothing was changed.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(crate) struct Contradiction(String);

/// Starts the stack that is asked for, unless it is up.
pub(crate) fn up(wish: &Wish, paths: &Paths, err: &mut (dyn Write + Send)) -> Result<Outcome> {
    let _lock = down::command_lock(paths, err)?;
    if let Standing::Up(state, _) = Standing::of(paths)? {
        check_same(wish, &state)?;
        return Ok(Outcome::Already);
    }
    let begin = Instant::now();
    let tools = Toolbox::fill(&wish.tools, &Lines(Mutex::new(err)))?;
    let options = Options {
        name: wish.name.clone(),
        account: wish.account.clone().unwrap_or_else(|| ACCOUNT.to_owned()),
        pace: wish.pace.unwrap_or_default(),
        port: wish.port.unwrap_or(0),
        charts: wish.charts.clone(),
        tools,
    };
    if down::stop(paths)? == Stopped::LeftOvers {
        writeln!(err, "cleared away what a killed daemon had left")?;
    }
    start(&options, paths, begin, err)
}

/// Stops a stack and starts it anew with the same options: empty.
pub(crate) fn reset(paths: &Paths, err: &mut (dyn Write + Send)) -> Result<Outcome> {
    let _lock = down::command_lock(paths, err)?;
    let Standing::Up(state, _) = Standing::of(paths)? else {
        bail!("the stack is not up; start it with `trunkline-local up`");
    };
    down::stop(paths)?;
    start(&state.options, paths, Instant::now(), err)
}

/// A stack that is up is taken as it is, but never for another one.
fn check_same(wish: &Wish, state: &State) -> Result<()> {
    let is = &state.options;
    let differs = [
        wish.account
            .as_ref()
            .is_some_and(|it| *it != is.account)
            .then(|| format!("its account is {}", is.account)),
        wish.pace
            .is_some_and(|it| it != is.pace)
            .then(|| format!("its pace is {}", is.pace)),
        wish.port
            .is_some_and(|it| it != is.port)
            .then(|| "its port is another one".to_owned()),
        (wish.charts.is_some() && wish.charts != is.charts).then(|| {
            format!(
                "its charts are {}",
                is.charts.as_deref().unwrap_or("the stand-ins")
            )
        }),
    ];
    match differs.into_iter().flatten().collect::<Vec<_>>().as_slice() {
        [] => Ok(()),
        differs => Err(anyhow!(Contradiction(format!(
            "stack `{}` is up, but {}; stop it with `trunkline-local down --name {}`, or give the \
             new one another --name",
            is.name,
            differs.join(" and "),
            is.name
        )))),
    }
}

fn start(
    options: &Options,
    paths: &Paths,
    begin: Instant,
    err: &mut (dyn Write + Send),
) -> Result<Outcome> {
    options.write(paths)?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("no runtime to wait with")?;
    let waited = runtime.block_on(async {
        let daemon = spawn_daemon(&options.name, paths)?;
        wait_for(daemon, paths, err).await
    });
    match waited {
        Ok(true) => Ok(Outcome::Started(begin.elapsed())),
        Ok(false) => {
            down::stop(paths)?;
            Ok(Outcome::Interrupted)
        }
        Err(error) => {
            // The error that matters is why it did not start.
            if let Err(also) = down::stop(paths) {
                writeln!(err, "while cleaning up: {also:#}")?;
            }
            Err(error)
        }
    }
}

fn spawn_daemon(name: &str, paths: &Paths) -> Result<Child> {
    fs::create_dir_all(paths.logs())
        .with_context(|| format!("{} cannot be made", paths.logs().display()))?;
    let program = std::env::current_exe().context("this program does not know its own path")?;
    let mut command = Command::new(program);
    command
        .args(["serve", "--name", name])
        .env(MARK, paths.root())
        .current_dir(paths.root())
        // Open for as long as this process lives: its end is how the daemon
        // learns that nobody waits for it any more.
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(File::create(paths.log("daemon"))?);
    for (name, _) in std::env::vars_os() {
        let upper = name.to_string_lossy().to_uppercase();
        if PRIVATE.iter().any(|prefix| upper.starts_with(prefix)) {
            command.env_remove(&name);
        }
    }
    sys::lead_session(&mut command);
    tokio::process::Command::from(command)
        .spawn()
        .context("the daemon cannot be started")
}

/// Follows the start: whether it was finished, and not interrupted.
async fn wait_for(mut daemon: Child, paths: &Paths, err: &mut (dyn Write + Send)) -> Result<bool> {
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    let output = daemon.stdout.take().context("the daemon has no output")?;
    let mut lines = BufReader::new(output).lines();
    let pid = daemon.id();
    let stop = || pid.map(|pid| sys::signal(pid, Signal::Terminate));
    let (mut interrupted, mut failed) = (false, None);
    loop {
        let line = tokio::select! {
            line = lines.next_line() => line?,
            _ = interrupt.recv() => { interrupted = true; stop(); continue }
            _ = terminate.recv() => { interrupted = true; stop(); continue }
        };
        match line.as_deref().map(events::read) {
            Some(Ok(Event::Ready { part, ms })) => {
                writeln!(
                    err,
                    "  {part:<14} ready after {}.{} s",
                    ms / 1000,
                    ms % 1000 / 100
                )?;
            }
            // An interrupt that came too late for the daemon's start.
            Some(Ok(Event::Up)) if interrupted => {}
            Some(Ok(Event::Up)) => return Ok(true),
            Some(Ok(Event::Failed(why))) => failed = Some(anyhow!(why)),
            Some(Err(error)) => failed = Some(error),
            None => break,
        }
    }
    let how = daemon.wait().await?;
    if interrupted {
        return Ok(false);
    }
    Err(failed.unwrap_or_else(|| {
        let why = format!("ended before everything was ready ({how})");
        anyhow!(PartFailed::new("the daemon", why, &paths.log("daemon")))
    }))
}

/// Progress of the tools, line by line.
struct Lines<'a>(Mutex<&'a mut (dyn Write + Send)>);

impl Progress for Lines<'_> {
    fn line(&self, tool: Tool, text: &str) {
        let mut out = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        // Progress that cannot be shown does not stop the work.
        let _ = writeln!(out, "  {tool:<14} {text}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::process::Identity;

    fn state() -> State {
        let options = Options {
            name: "default".into(),
            account: "111122223333".into(),
            pace: Pace::Instant,
            port: 0,
            charts: None,
            tools: Toolbox::default(),
        };
        State::new(
            options,
            Identity {
                pid: 2,
                start_time: 1,
            },
        )
    }

    #[test]
    fn what_is_not_asked_for_does_not_contradict() {
        check_same(&Wish::default(), &state()).unwrap();
        let same = Wish {
            account: Some("111122223333".into()),
            pace: Some(Pace::Instant),
            ..Wish::default()
        };
        check_same(&same, &state()).unwrap();
    }

    #[test]
    fn another_stack_under_the_same_name_is_refused_with_every_reason() {
        let other = Wish {
            account: Some("222233334444".into()),
            pace: Some(Pace::Divided(60.0)),
            charts: Some("/charts".into()),
            ..Wish::default()
        };
        let error = check_same(&other, &state()).unwrap_err();
        assert!(error.is::<Contradiction>());
        assert_eq!(
            error.to_string(),
            "stack `default` is up, but its account is 111122223333 and its pace is instant and \
             its charts are the stand-ins; stop it with `trunkline-local down --name default`, or \
             give the new one another --name"
        );
    }
}
