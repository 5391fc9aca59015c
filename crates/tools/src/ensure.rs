//! Looks tools up, and sees to it that they are there.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};

use anyhow::{Result, anyhow, bail};

use crate::cache::{Entry, Stage};
use crate::download::download;
use crate::pins::{Made, Pin, pin};
use crate::run::{Job, Stopped};
use crate::surroundings::Surroundings;
use crate::{Found, Origin, Tool, go, pip, probe};

/// Is told, line by line, what is being done for which tool. Called from
/// several threads.
pub trait Progress: Sync {
    /// Something is being done, or still goes on.
    fn line(&self, tool: Tool, text: &str);

    /// Whether the caller wants no more. Asked all the time; once it is true the
    /// children are ended and the call fails.
    fn stopped(&self) -> bool {
        false
    }
}

/// Finds a tool on `PATH` (in the pinned version only) or in the cache. Never
/// downloads or builds.
#[must_use]
pub fn lookup(tool: Tool) -> Option<Found> {
    lookup_in(&Surroundings::from_env(), tool)
}

/// [`lookup`] in given surroundings.
#[must_use]
pub fn lookup_in(around: &Surroundings, tool: Tool) -> Option<Found> {
    let pin = pin(tool);
    let right = |path: &std::path::PathBuf| {
        probe::version_of(path, pin).is_some_and(|version| version == pin.version)
    };
    if pin.version_arguments.is_some()
        && let Some(path) = around.on_path(pin.program).find(right)
    {
        return Some(Found {
            tool,
            version: pin.version.to_owned(),
            origin: Origin::Path,
            path,
        });
    }
    Entry::of(&around.cache, tool).found()
}

/// Sees to it that every tool is there: what is missing is downloaded, or else
/// built or installed. Gives them in the order asked for.
///
/// # Errors
/// One error that names each tool that cannot be had, what was tried and what
/// would help. The other tools' work is then stopped; what is done stays.
pub fn ensure(tools: &[Tool], progress: &dyn Progress) -> Result<Vec<Found>> {
    ensure_in(&Surroundings::from_env(), tools, progress)
}

/// [`ensure`] in given surroundings.
///
/// # Errors
/// As [`ensure`].
pub fn ensure_in(
    around: &Surroundings,
    tools: &[Tool],
    progress: &dyn Progress,
) -> Result<Vec<Found>> {
    let run = Run {
        around,
        progress,
        failed: AtomicBool::new(false),
        go: Mutex::new(()),
        wheels: Mutex::new(()),
    };
    let results: Vec<Result<Found, Missing>> = std::thread::scope(|scope| {
        let run = &run;
        let threads: Vec<_> = tools
            .iter()
            .map(|tool| scope.spawn(move || run.obtain(*tool)))
            .collect();
        threads
            .into_iter()
            .zip(tools)
            .map(|(thread, tool)| {
                thread
                    .join()
                    .unwrap_or_else(|_| Err(Missing::broken(*tool, "a thread panicked")))
            })
            .collect()
    });
    let (found, missing): (Vec<_>, Vec<_>) = results.into_iter().partition(Result::is_ok);
    let missing: Vec<_> = missing
        .into_iter()
        .filter_map(Result::err)
        .filter(|missing| !missing.cancelled)
        .collect();
    if !missing.is_empty() {
        bail!("{}", told(&missing));
    }
    if progress.stopped() {
        bail!("stopped");
    }
    Ok(found.into_iter().flatten().collect())
}

/// Why one way to a tool did not lead there.
pub(crate) struct Failed {
    /// Whether another way may be tried.
    fatal: bool,
    why: anyhow::Error,
}

impl Failed {
    /// Another way may lead to the tool.
    pub(crate) fn passing(why: anyhow::Error) -> Self {
        Self { fatal: false, why }
    }

    /// Something is wrong that must not be passed over.
    pub(crate) fn fatal(why: anyhow::Error) -> Self {
        Self { fatal: true, why }
    }
}

/// A tool that cannot be had.
struct Missing {
    tool: Tool,
    /// What is on `PATH` under its name, if something is.
    on_path: Option<String>,
    /// The ways that were tried, each with why it failed.
    tried: Vec<(&'static str, String)>,
    /// It was only stopped, because of another tool or by the caller.
    cancelled: bool,
}

impl Missing {
    fn broken(tool: Tool, why: &str) -> Self {
        let tried = vec![("cache", why.to_owned())];
        Self {
            tool,
            on_path: None,
            tried,
            cancelled: false,
        }
    }

    /// Whether another one failed for the same reasons.
    fn is_like(&self, other: &Self) -> bool {
        self.tried == other.tried && self.fix() == other.fix()
    }

    /// What a person can do about it.
    fn fix(&self) -> String {
        let pin = pin(self.tool);
        let begun = self.tried.iter().any(|(_, why)| why.contains(" failed ("));
        let mut ways = vec![match &pin.made {
            _ if begun => "mend what the lines above say",
            Made::Go(_) => "install Go 1.24 or newer",
            Made::Wheel(_) | Made::Venv { .. } => {
                "install Python 3.10 or newer with its venv module (Debian: apt install python3-venv)"
            }
        }];
        if pin.release.is_some() {
            ways.push("let this machine reach the download");
        }
        if pin.version_arguments.is_some() {
            ways.push("put this version on PATH");
        }
        format!("{}; then run the same command again", ways.join(", or "))
    }
}

/// One call of `ensure`.
struct Run<'a> {
    around: &'a Surroundings,
    progress: &'a dyn Progress,
    /// A tool cannot be had, so that no one need wait for the others.
    failed: AtomicBool,
    /// Go builds use every core, and share what they compile: one at a time.
    go: Mutex<()>,
    /// Two tools come out of one wheel: the second finds it in pip's cache.
    wheels: Mutex<()>,
}

impl Run<'_> {
    fn obtain(&self, tool: Tool) -> Result<Found, Missing> {
        if let Some(found) = lookup_in(self.around, tool) {
            return Ok(found);
        }
        let result = self.make(tool);
        if result.as_ref().is_err_and(|missing| !missing.cancelled) {
            self.failed.store(true, Ordering::Relaxed);
        }
        result
    }

    fn make(&self, tool: Tool) -> Result<Found, Missing> {
        let entry = Entry::of(&self.around.cache, tool);
        let pin = pin(tool);
        let log = self
            .around
            .cache
            .join("tools/logs")
            .join(format!("{}.log", pin.name));
        let progress = self.progress;
        let job = Job {
            tool,
            progress,
            failed: &self.failed,
            log: &log,
        };
        let broken = |error: anyhow::Error| Missing::broken(tool, &format!("{error:#}"));
        let _lock = entry
            .lock(|| job.line("another run is preparing it: waiting"))
            .map_err(broken)?;
        if let Some(found) = entry.found() {
            return Ok(found);
        }
        let on_path = self.on_path(pin);
        let mut missing = Missing {
            tool,
            on_path,
            tried: Vec::new(),
            cancelled: false,
        };
        for way in [Way::Download, Way::Make] {
            let stage = entry.stage().map_err(broken)?;
            match self.perform(way, &job, &stage, pin) {
                Ok(()) => {
                    let found = entry.publish(stage, way.origin()).map_err(broken)?;
                    job.line("ready");
                    return Ok(found);
                }
                Err(failed) if failed.why.is::<Stopped>() => {
                    return Err(Missing {
                        cancelled: true,
                        ..missing
                    });
                }
                Err(failed) => {
                    missing
                        .tried
                        .push((way.name(pin), format!("{:#}", failed.why)));
                    if failed.fatal {
                        return Err(missing);
                    }
                }
            }
        }
        Err(missing)
    }

    /// What is on `PATH` under the tool's name, though not in its version.
    fn on_path(&self, pin: &Pin) -> Option<String> {
        let path = self.around.first_on_path(pin.program)?;
        Some(match probe::version_of(&path, pin) {
            Some(version) => format!("{} is {version}", path.display()),
            None => format!("{} does not say its version", path.display()),
        })
    }

    fn perform(&self, way: Way, job: &Job, stage: &Stage, pin: &Pin) -> Result<(), Failed> {
        match way {
            // Short, and of use even when another tool cannot be had: so all that
            // is missing on this machine is named at once.
            Way::Download => {
                let failed = &AtomicBool::new(false);
                download(self.around, &Job { failed, ..*job }, stage)?;
            }
            Way::Make => self.make_here(job, stage, pin).map_err(Failed::passing)?,
        }
        let version = match &pin.made {
            Made::Venv {
                module,
                distribution,
                ..
            } => pip::version_in(&stage.folder, module, distribution),
            _ => probe::version_of(&stage.program, pin),
        };
        match version {
            Some(version) if version == pin.version => Ok(()),
            Some(version) => Err(Failed::fatal(anyhow!("it turned out to be {version}"))),
            None => Err(Failed::passing(anyhow!("it does not run here"))),
        }
    }

    fn make_here(&self, job: &Job, stage: &Stage, pin: &Pin) -> Result<()> {
        match &pin.made {
            Made::Go(build) => {
                let _one = self.go.lock().unwrap_or_else(PoisonError::into_inner);
                go::build(self.around, job, stage, pin, build)
            }
            Made::Wheel(wheel) => {
                let _one = self.wheels.lock().unwrap_or_else(PoisonError::into_inner);
                pip::wheel(self.around, job, stage, wheel)
            }
            Made::Venv {
                requirements,
                module,
                ..
            } => pip::venv(self.around, job, stage, requirements, module),
        }
    }
}

/// A way to a tool that is not there yet.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Way {
    Download,
    Make,
}

impl Way {
    fn name(self, pin: &Pin) -> &'static str {
        match (self, &pin.made) {
            (Self::Download, _) => "download",
            (Self::Make, Made::Go(_)) => "Go",
            (Self::Make, _) => "pip",
        }
    }

    fn origin(self) -> Origin {
        match self {
            Self::Download => Origin::Downloaded,
            Self::Make => Origin::Built,
        }
    }
}

/// The error: tools that failed alike are named together.
fn told(missing: &[Missing]) -> String {
    let mut groups: Vec<Vec<&Missing>> = Vec::new();
    for one in missing {
        match groups.iter_mut().find(|group| group[0].is_like(one)) {
            Some(group) => group.push(one),
            None => groups.push(vec![one]),
        }
    }
    let blocks: Vec<_> = groups.iter().map(|group| block(group)).collect();
    blocks.join("\n")
}

/// The error's part on tools that failed alike.
fn block(group: &[&Missing]) -> String {
    let names = group
        .iter()
        .map(|one| format!("{} {}", one.tool, one.tool.version()));
    let mut lines = vec![format!(
        "{} cannot be had",
        names.collect::<Vec<_>>().join(", ")
    )];
    lines.extend(
        group
            .iter()
            .filter_map(|one| one.on_path.as_ref())
            .map(|on| format!("  PATH: {on}")),
    );
    for (way, why) in &group[0].tried {
        lines.push(format!("  {way}: {}", why.replace('\n', "\n    ")));
    }
    lines.push(format!("  do: {}", group[0].fix()));
    lines.join("\n")
}
