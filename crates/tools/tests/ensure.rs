//! `ensure` and `lookup` on a machine of its own: a folder for `PATH` with
//! nothing on it but what a test puts there, an empty cache, and a publisher
//! that answers on loopback.

// Clippy's exception for tests does not reach the helpers beside them.
#![allow(clippy::unwrap_used)]

use std::ffi::OsString;
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};

use trunkline_tools::{Downloads, Found, Origin, Progress, Surroundings, Tool};
use trunkline_tools::{ensure_in, lookup_in};

/// What the fake Go makes of every package, and a fake release is.
const SCHEDULER: &str = "#!/bin/sh\necho Kubernetes v1.35.4\n";

/// A Go that writes a program instead of building one, and counts its runs.
const GO: &str = r#"
echo run >> "$0.runs"
while [ $# -gt 1 ]; do
    if [ "$1" = -o ]; then out=$2; fi
    shift
done
printf '#!/bin/sh\necho Kubernetes v1.35.4\n' > "$out"
chmod +x "$out"
"#;

struct Machine {
    folder: tempfile::TempDir,
    around: Surroundings,
}

impl Machine {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let bin = folder.path().join("bin");
        fs::create_dir(&bin).unwrap();
        let around = Surroundings {
            cache: folder.path().join("cache"),
            path: OsString::from(&bin),
            downloads: Downloads::Off,
        };
        let machine = Self { folder, around };
        for program in ["chmod", "curl", "sh"] {
            machine.link(program);
        }
        machine
    }

    /// Lets a program of this machine be found.
    fn link(&self, program: &str) {
        let real = std::env::split_paths(&std::env::var_os("PATH").unwrap())
            .map(|folder| folder.join(program))
            .find(|path| path.is_file())
            .unwrap_or_else(|| panic!("this machine has no {program}"));
        std::os::unix::fs::symlink(real, self.bin(program)).unwrap();
    }

    fn bin(&self, program: &str) -> PathBuf {
        self.folder.path().join("bin").join(program)
    }

    /// Puts a script on `PATH`. A child writes it: a file that this process,
    /// with its threads, has open for writing cannot be executed.
    fn script(&self, program: &str, body: &str) {
        let file = self.bin(program);
        let mut child = Command::new("sh")
            .args(["-c", "cat > \"$0\" && chmod +x \"$0\""])
            .arg(&file)
            .stdin(Stdio::piped())
            .spawn()
            .unwrap();
        let text = format!("#!/bin/sh\n{body}\n");
        child
            .stdin
            .take()
            .unwrap()
            .write_all(text.as_bytes())
            .unwrap();
        assert!(child.wait().unwrap().success());
    }

    fn runs_of_go(&self) -> usize {
        fs::read_to_string(self.bin("go.runs"))
            .unwrap_or_default()
            .lines()
            .count()
    }

    fn ensure(&self, tools: &[Tool]) -> Result<Vec<Found>, String> {
        ensure_in(&self.around, tools, &Quiet).map_err(|error| format!("{error:#}"))
    }

    /// What of the cache is neither a lock nor a log.
    fn entries(&self) -> Vec<String> {
        let Ok(entries) = fs::read_dir(self.around.cache.join("tools")) else {
            return vec![];
        };
        let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
        let mut names: Vec<_> = names
            .filter(|name| !name.ends_with(".lock") && name != "logs")
            .collect();
        names.sort();
        names
    }
}

struct Quiet;

impl Progress for Quiet {
    fn line(&self, _: Tool, _: &str) {}
}

/// A publisher on loopback: answers every request by what the test says of its
/// path, raw, and closes.
fn publisher(answer: impl Fn(&str) -> Vec<u8> + Send + 'static) -> Downloads {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let base = format!("http://{}", listener.local_addr().unwrap());
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            serve(&mut stream.unwrap(), &answer);
        }
    });
    Downloads::Mirror(base)
}

fn serve(stream: &mut TcpStream, answer: &impl Fn(&str) -> Vec<u8>) {
    let mut lines = BufReader::new(stream.try_clone().unwrap()).lines();
    let first = lines.next().unwrap().unwrap();
    let path = first.split(' ').nth(1).unwrap().to_owned();
    for line in lines {
        if line.unwrap().is_empty() {
            break;
        }
    }
    stream.write_all(&answer(&path)).ok();
}

fn ok(body: &str, length: usize) -> Vec<u8> {
    format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n{body}").into_bytes()
}

/// What `kube-scheduler.sha256` holds for [`SCHEDULER`].
fn checksum() -> String {
    let mut child = Command::new("sha256sum")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    child
        .stdin
        .take()
        .unwrap()
        .write_all(SCHEDULER.as_bytes())
        .unwrap();
    String::from_utf8(child.wait_with_output().unwrap().stdout).unwrap()[..64].to_owned()
}

fn runs(found: &Found) -> bool {
    let output = Command::new(&found.path).arg("--version").output().unwrap();
    String::from_utf8(output.stdout)
        .unwrap()
        .contains(&found.version)
}

#[test]
fn a_tool_on_the_path_is_taken_in_the_right_version_only() {
    let machine = Machine::new();
    assert_eq!(lookup_in(&machine.around, Tool::Etcd), None);
    machine.script("etcd", "echo etcd Version: 3.5.0");
    assert_eq!(lookup_in(&machine.around, Tool::Etcd), None);
    machine.script("etcd", "echo etcd Version: 3.6.6");
    let found = lookup_in(&machine.around, Tool::Etcd).unwrap();
    assert_eq!(
        (found.origin, found.path),
        (Origin::Path, machine.bin("etcd"))
    );
    assert!(machine.entries().is_empty());
}

#[test]
fn what_is_missing_is_built_once_and_then_in_the_cache() {
    let machine = Machine::new();
    machine.script("go", GO);
    let tools = [Tool::KubeScheduler, Tool::KubeApiserver];
    let first = machine.ensure(&tools).unwrap();
    assert_eq!(
        first.iter().map(|found| found.tool).collect::<Vec<_>>(),
        tools
    );
    assert!(
        first
            .iter()
            .all(|found| found.origin == Origin::Built && runs(found))
    );
    let second = machine.ensure(&tools).unwrap();
    assert!(second.iter().all(|found| found.origin == Origin::Cache));
    assert_eq!(second[0].path, first[0].path);
    assert_eq!(machine.runs_of_go(), 2);
    assert_eq!(
        machine.entries(),
        ["kube-apiserver-1.35.4", "kube-scheduler-1.35.4"]
    );
}

#[test]
fn runs_at_the_same_time_build_once() {
    let machine = Machine::new();
    machine.script("go", GO);
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..4)
            .map(|_| scope.spawn(|| machine.ensure(&[Tool::KubeScheduler])))
            .collect();
        for thread in threads {
            assert!(runs(&thread.join().unwrap().unwrap()[0]));
        }
    });
    assert_eq!(machine.runs_of_go(), 1);
}

#[test]
fn an_entry_that_lost_its_program_is_made_again() {
    let machine = Machine::new();
    machine.script("go", GO);
    let found = machine.ensure(&[Tool::KubeScheduler]).unwrap();
    fs::remove_file(&found[0].path).unwrap();
    assert_eq!(lookup_in(&machine.around, Tool::KubeScheduler), None);
    assert!(runs(&machine.ensure(&[Tool::KubeScheduler]).unwrap()[0]));
    assert_eq!(machine.runs_of_go(), 2);
}

#[test]
fn without_go_and_download_the_error_says_what_to_do() {
    let machine = Machine::new();
    machine.script("kube-scheduler", "echo Kubernetes v1.30.0");
    let error = machine
        .ensure(&[Tool::KubeScheduler, Tool::Etcd, Tool::Kwok])
        .unwrap_err();
    for part in [
        // They failed alike.
        "kube-scheduler 1.35.4, etcd 3.6.6, kwok 0.8.0 cannot be had",
        "kube-scheduler is 1.30.0",
        "download: switched off",
        "Go: there is no `go` on PATH",
        "do: install Go",
    ] {
        assert!(error.contains(part), "`{part}` is not in\n{error}");
    }
    assert!(machine.entries().is_empty());
}

#[test]
fn without_python_the_error_says_what_to_do() {
    let machine = Machine::new();
    let error = machine.ensure(&[Tool::Moto]).unwrap_err();
    assert!(error.contains("moto 5.2.5 cannot be had"), "{error}");
    assert!(error.contains("there is no `python3` on PATH"), "{error}");
    assert!(
        error.contains("do: install Python 3.10 or newer"),
        "{error}"
    );

    machine.script("python3", "echo 3.8");
    let error = machine.ensure(&[Tool::Moto]).unwrap_err();
    assert!(
        error.contains("is Python 3.8, and 3.10 is needed"),
        "{error}"
    );
    assert!(machine.entries().is_empty());
}

#[test]
fn a_build_that_fails_shows_its_last_words_and_leaves_nothing() {
    let machine = Machine::new();
    machine.script("go", "echo 'go: updates to go.mod needed' >&2; exit 1");
    let error = machine.ensure(&[Tool::KubeScheduler]).unwrap_err();
    assert!(error.contains("go: updates to go.mod needed"), "{error}");
    assert!(machine.entries().is_empty());
}

#[test]
fn a_build_of_another_version_is_refused() {
    let machine = Machine::new();
    machine.script("go", &GO.replace("v1.35.4", "v0.0.0"));
    let error = machine.ensure(&[Tool::KubeScheduler]).unwrap_err();
    assert!(error.contains("turned out to be 0.0.0"), "{error}");
    assert!(machine.entries().is_empty());
}

#[test]
fn a_release_is_downloaded_and_checked() {
    let mut machine = Machine::new();
    let sum = checksum();
    machine.around.downloads = publisher(move |path| match path.strip_suffix(".sha256") {
        Some(file) if file.ends_with("/kube-scheduler") => ok(&sum, 64),
        None if path.starts_with("/dl.k8s.io/release/v1.35.4/bin/") => {
            ok(SCHEDULER, SCHEDULER.len())
        }
        _ => b"HTTP/1.1 404 Not Found\r\n\r\n".to_vec(),
    });
    let found = machine.ensure(&[Tool::KubeScheduler]).unwrap();
    assert_eq!(found[0].origin, Origin::Downloaded);
    assert!(runs(&found[0]));
    assert_eq!(machine.entries(), ["kube-scheduler-1.35.4"]);
    let left: Vec<_> = fs::read_dir(machine.around.cache.join("tools/kube-scheduler-1.35.4"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name())
        .collect();
    assert_eq!(left.len(), 2, "only the program and the record: {left:?}");
}

#[test]
fn a_truncated_download_leaves_nothing_and_the_tool_is_built() {
    let mut machine = Machine::new();
    machine.script("go", GO);
    let sum = checksum();
    machine.around.downloads = publisher(move |path| {
        if path.ends_with(".sha256") {
            ok(&sum, 64)
        } else {
            ok(&SCHEDULER[..9], SCHEDULER.len())
        }
    });
    let found = machine.ensure(&[Tool::KubeScheduler]).unwrap();
    assert_eq!((found[0].origin, machine.runs_of_go()), (Origin::Built, 1));
    assert!(runs(&found[0]));
    assert_eq!(machine.entries(), ["kube-scheduler-1.35.4"]);
}

#[test]
fn a_publisher_that_refuses_is_passed_over() {
    let mut machine = Machine::new();
    machine.script("go", GO);
    machine.around.downloads = publisher(|_| b"HTTP/1.1 403 Forbidden\r\n\r\n".to_vec());
    assert_eq!(
        machine.ensure(&[Tool::KubeScheduler]).unwrap()[0].origin,
        Origin::Built
    );
}

#[test]
fn a_wrong_checksum_is_not_passed_over() {
    let mut machine = Machine::new();
    machine.script("go", GO);
    machine.around.downloads = publisher(|path| {
        if path.ends_with(".sha256") {
            ok(&"0".repeat(64), 64)
        } else {
            ok("other", 5)
        }
    });
    // The second one's checksum is pinned here, whatever a mirror says.
    for tool in [Tool::KubeScheduler, Tool::Etcd] {
        let error = machine.ensure(&[tool]).unwrap_err();
        assert!(error.contains("wrong checksum"), "{error}");
    }
    assert_eq!(machine.runs_of_go(), 0);
    assert!(machine.entries().is_empty());
}

/// Says stop as soon as a build has begun.
struct StopAtBuild<'a> {
    begun: &'a Path,
    lines: Mutex<Vec<String>>,
    stopped: AtomicBool,
}

impl Progress for StopAtBuild<'_> {
    fn line(&self, tool: Tool, text: &str) {
        self.lines.lock().unwrap().push(format!("{tool}: {text}"));
    }

    fn stopped(&self) -> bool {
        self.stopped
            .fetch_or(self.begun.exists(), Ordering::Relaxed);
        self.stopped.load(Ordering::Relaxed)
    }
}

#[test]
fn a_stop_ends_the_build_and_leaves_nothing() {
    let machine = Machine::new();
    machine.link("sleep");
    machine.script("go", "echo run >> \"$0.runs\"; exec sleep 600");
    let begun = machine.bin("go.runs");
    let progress = StopAtBuild {
        begun: &begun,
        lines: Mutex::default(),
        stopped: false.into(),
    };
    let tools = [Tool::KubeScheduler, Tool::Etcd];
    let error = ensure_in(&machine.around, &tools, &progress).unwrap_err();
    assert_eq!(error.to_string(), "stopped");
    assert_eq!(machine.runs_of_go(), 1, "one build at a time");
    assert!(machine.entries().is_empty());
    assert!(!progress.lines.lock().unwrap().is_empty());
}
