//! Starting helm so that it never outlives us: a process group of its own,
//! killed when the future is dropped, and a death signal for when we are killed.

use std::{
    io,
    process::Stdio,
    sync::{OnceLock, mpsc},
    time::Duration,
};

use tokio::{
    io::{AsyncRead, AsyncReadExt},
    process::{Child, Command},
    runtime::Handle,
    sync::oneshot,
};
use trunkline_engine::Failure;

/// What is kept of a child's words: failures show the last lines only.
const TAIL: usize = 64 * 1024;
/// How long helm may take to end by itself once it was asked to.
const GRACE: Duration = Duration::from_secs(10);

/// How a child ended.
#[derive(Debug)]
pub(crate) struct Ended {
    /// Whether it said that all is well.
    pub(crate) success: bool,
    /// In words: `exit 1`, `killed by signal 9`, `stopped after 60 s`.
    pub(crate) how: String,
    /// Whether we stopped it because its time was over.
    pub(crate) too_late: bool,
    /// All it wrote to stdout.
    pub(crate) stdout: Vec<u8>,
    /// The end of what it wrote to stderr.
    pub(crate) stderr: String,
}

/// Runs a command to its end. Dropping the future kills it and all it started.
pub(crate) async fn run(command: Command, limit: Duration) -> Result<Ended, Failure> {
    let mut child = spawn(command).await?;
    let mut group = Group::of(&child);
    let stdout = read(child.stdout.take(), usize::MAX);
    let stderr = read(child.stderr.take(), TAIL);
    let ending = async {
        if let Ok(status) = tokio::time::timeout(limit, child.wait()).await {
            return (status, false);
        }
        // Asked politely first: helm then writes `failed` instead of leaving
        // the release pending.
        group.signal(libc::SIGTERM);
        if let Ok(status) = tokio::time::timeout(GRACE, child.wait()).await {
            return (status, true);
        }
        group.signal(libc::SIGKILL);
        (child.wait().await, true)
    };
    let ((status, too_late), stdout, stderr) = tokio::join!(ending, stdout, stderr);
    group.disarm();
    let status = status.map_err(|e| Failure::bug(format!("helm's end cannot be read: {e}")))?;
    let how = if too_late {
        format!("stopped after {} s", limit.as_secs())
    } else {
        status.to_string()
    };
    let stderr = String::from_utf8_lossy(&stderr).into_owned();
    Ok(Ended {
        success: status.success() && !too_late,
        how,
        too_late,
        stdout,
        stderr,
    })
}

/// Reads to the end and keeps the last bytes.
async fn read(from: Option<impl AsyncRead + Unpin>, keep: usize) -> Vec<u8> {
    let Some(mut from) = from else {
        return Vec::new();
    };
    let mut all = Vec::new();
    let mut buffer = vec![0; 16 * 1024];
    // A broken pipe is an end like any other: what was read is shown.
    while let Ok(n @ 1..) = from.read(&mut buffer).await {
        all.extend_from_slice(&buffer[..n]);
        if all.len() > keep.saturating_mul(2) {
            all.drain(..all.len() - keep);
        }
    }
    let cut = all.len().saturating_sub(keep);
    all.drain(..cut);
    all
}

/// A child to be started, and where the answer goes.
struct Job {
    command: Command,
    runtime: Handle,
    reply: oneshot::Sender<io::Result<Child>>,
}

/// Starts a child from a thread that lives as long as the process.
///
/// The death signal fires when the *thread* that started the child ends, and a
/// thread of tokio's blocking pool ends after some idle seconds.
async fn spawn(mut command: Command) -> Result<Child, Failure> {
    command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .process_group(0);
    die_with_parent(&mut command);
    let (reply, answer) = oneshot::channel();
    let job = Job {
        command,
        runtime: Handle::current(),
        reply,
    };
    let dead = || Failure::bug("the thread that starts helm is gone");
    starter()
        .as_ref()
        .map_err(|e| Failure::bug(e.clone()))?
        .send(job)
        .map_err(|_| dead())?;
    let child = answer.await.map_err(|_| dead())?;
    child.map_err(|error| crate::failure::not_started(&error))
}

fn starter() -> &'static Result<mpsc::Sender<Job>, String> {
    static STARTER: OnceLock<Result<mpsc::Sender<Job>, String>> = OnceLock::new();
    STARTER.get_or_init(|| {
        let (jobs, inbox) = mpsc::channel::<Job>();
        let work = move || {
            for mut job in inbox {
                let _context = job.runtime.enter();
                // Whoever asked may be gone: the child is dropped then, and killed.
                let _ = job.reply.send(job.command.spawn());
            }
        };
        std::thread::Builder::new()
            .name("helm-starter".to_owned())
            .spawn(work)
            .map(|_| jobs)
            .map_err(|e| format!("no thread to start helm from: {e}"))
    })
}

/// Lets the kernel kill the child when we are gone, however we ended.
#[allow(
    unsafe_code,
    reason = "the death signal can only be set in the child, before exec"
)]
fn die_with_parent(command: &mut Command) {
    let parent = std::process::id();
    let in_child = move || {
        #[cfg(target_os = "linux")]
        {
            // SAFETY: prctl with these arguments and getppid are async-signal-safe
            // and touch no memory of ours.
            let (set, now) = unsafe {
                (
                    libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL, 0, 0, 0),
                    libc::getppid(),
                )
            };
            if set != 0 {
                return Err(io::Error::last_os_error());
            }
            // We may have died before the signal was set: nobody would send it.
            if u32::try_from(now) != Ok(parent) {
                return Err(io::Error::from_raw_os_error(libc::ESRCH));
            }
        }
        #[cfg(not(target_os = "linux"))]
        let _ = parent;
        Ok(())
    };
    // SAFETY: the closure allocates nothing and takes no lock, so that it may run
    // between fork and exec.
    unsafe { command.pre_exec(in_child) };
}

/// The process group of a child; killed on drop unless it ended.
struct Group(Option<i32>);

impl Group {
    fn of(child: &Child) -> Self {
        Self(child.id().and_then(|id| i32::try_from(id).ok()))
    }

    /// The child was waited for: its number may belong to somebody else now.
    fn disarm(&mut self) {
        self.0 = None;
    }

    #[allow(
        unsafe_code,
        reason = "the standard library sends no signal to a group"
    )]
    fn signal(&self, signal: i32) {
        if let Some(group) = self.0 {
            // SAFETY: kill takes two numbers. The group is ours: its leader was not
            // waited for yet, so the number was not given away.
            unsafe { libc::kill(-group, signal) };
        }
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        self.signal(libc::SIGKILL);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(script: &str) -> Command {
        let mut command = Command::new("/bin/sh");
        command.args(["-c", script]);
        command
    }

    fn is_alive(pid: &str) -> bool {
        // A zombie is dead: it only waits to be read.
        std::fs::read_to_string(format!("/proc/{pid}/stat")).is_ok_and(|stat| {
            !stat
                .rsplit(')')
                .next()
                .unwrap_or_default()
                .starts_with(" Z")
        })
    }

    async fn until(mut condition: impl FnMut() -> bool) {
        let all = async {
            while !condition() {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(20), all)
            .await
            .expect("did not happen");
    }

    #[tokio::test]
    async fn output_and_code_are_returned() {
        let ended = run(
            shell("echo out; echo err >&2; exit 3"),
            Duration::from_secs(20),
        )
        .await;
        let ended = ended.unwrap();
        assert!(!ended.success && !ended.too_late);
        assert_eq!(ended.how, "exit status: 3");
        assert_eq!(
            (ended.stdout.as_slice(), ended.stderr.as_str()),
            (&b"out\n"[..], "err\n")
        );
    }

    #[tokio::test]
    async fn only_the_end_of_many_words_is_kept() {
        let script = "i=0; while [ $i -lt 5000 ]; do echo 'a line of some forty characters, or so' >&2; i=$((i+1)); done; echo last >&2";
        let ended = run(shell(script), Duration::from_secs(60)).await.unwrap();
        assert!(ended.stderr.len() <= TAIL && ended.stderr.ends_with("last\n"));
    }

    #[tokio::test]
    async fn a_program_that_is_not_there_is_said() {
        let failure = run(Command::new("/no/such/helm"), Duration::from_secs(5))
            .await
            .unwrap_err();
        assert!(failure.to_string().contains("No such file"), "{failure}");
    }

    #[tokio::test]
    async fn time_over_ends_the_child_and_its_children() {
        let folder = tempfile::tempdir().unwrap();
        let pids = folder.path().join("pids");
        let script = format!(
            "echo $$ > {0}; sleep 600 & echo $! >> {0}; wait",
            pids.display()
        );
        let ended = run(shell(&script), Duration::from_secs(1)).await.unwrap();
        assert!(ended.too_late && !ended.success);
        let pids = std::fs::read_to_string(pids).unwrap();
        until(|| pids.lines().all(|pid| !is_alive(pid))).await;
    }

    #[tokio::test]
    async fn dropping_the_future_kills_the_whole_group() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("pids");
        let script = format!("sleep 600 & echo $$ $! > {}; wait", file.display());
        let running = tokio::spawn(run(shell(&script), Duration::from_secs(600)));
        let written = || std::fs::read_to_string(&file).unwrap_or_default();
        until(|| written().split_whitespace().count() == 2).await;
        running.abort();
        let pids = written();
        until(|| pids.split_whitespace().all(|pid| !is_alive(pid))).await;
    }

    /// Not a test: what [`a_killed_parent_takes_its_child_along`] starts.
    #[tokio::test]
    #[ignore = "started by another test, in a process of its own"]
    async fn parent_of_a_sleeper() {
        let _ = run(shell("exec sleep 600"), Duration::from_secs(600)).await;
    }

    #[test]
    fn a_killed_parent_takes_its_child_along() {
        let mut parent = std::process::Command::new("/proc/self/exe")
            .args(["--exact", "child::tests::parent_of_a_sleeper", "--ignored"])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let children = || children_of(parent.id());
        let end = std::time::Instant::now() + Duration::from_secs(20);
        while children().is_empty() {
            assert!(
                std::time::Instant::now() < end,
                "the sleeper was not started"
            );
            std::thread::sleep(Duration::from_millis(10));
        }
        let sleeper = children().remove(0);
        parent.kill().unwrap();
        parent.wait().unwrap();
        while is_alive(&sleeper) {
            assert!(
                std::time::Instant::now() < end,
                "the sleeper outlived its parent"
            );
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// The children of all threads of a process.
    fn children_of(pid: u32) -> Vec<String> {
        let threads = std::fs::read_dir(format!("/proc/{pid}/task"))
            .into_iter()
            .flatten();
        threads
            .filter_map(Result::ok)
            .filter_map(|thread| std::fs::read_to_string(thread.path().join("children")).ok())
            .flat_map(|list| {
                list.split_whitespace()
                    .map(str::to_owned)
                    .collect::<Vec<_>>()
            })
            .collect()
    }
}
