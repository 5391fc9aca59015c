//! The start script of charts/redis with a real server: the password comes from a
//! file and is nowhere else, and data is not started over with nothing.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on ends there")]

use std::{
    fs,
    io::{Read, Write},
    net::{TcpListener, TcpStream},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use serde_json::json;
use trunkline_helm_wrapper::{Capabilities, Chart, Helm, Release};
use trunkline_tools::{Tool, lookup};

/// A password with everything that a configuration file might trip over.
const PASSWORD: &str = r#"p"a\s $HOME `id` #x"#;

struct Site {
    folder: tempfile::TempDir,
    port: u16,
}

/// Killed when the test ends, however it does.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Site {
    /// The rendered scripts and configuration, with paths and port of the test.
    async fn new(test: &str) -> Option<Self> {
        let (Some(helm), Some(redis)) = (lookup(Tool::Helm), lookup(Tool::Redis)) else {
            let _ = writeln!(
                std::io::stderr(),
                "SKIP {test}: helm or a Redis is not there: cargo xtask tools"
            );
            return None;
        };
        let folder = tempfile::tempdir().unwrap();
        let port = TcpListener::bind("127.0.0.1:0")
            .unwrap()
            .local_addr()
            .unwrap()
            .port();
        let this = Self { folder, port };
        for (key, text) in config(&helm.path).await {
            let text = text
                .replace("port 6379", &format!("port {port}"))
                .replace("dir /data", &format!("dir {}", this.path("data").display()));
            fs::write(this.path(&key), text).unwrap();
        }
        fs::create_dir(this.path("data")).unwrap();
        fs::create_dir(this.path("bin")).unwrap();
        std::os::unix::fs::symlink(redis.path, this.path("bin/redis-server")).unwrap();
        fs::write(this.path("password"), PASSWORD).unwrap();
        Some(this)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn start(&self) -> Command {
        let mut command = Command::new("/bin/sh");
        command
            .arg(self.path("start.sh"))
            .env_clear()
            .env(
                "PATH",
                format!("{}:/usr/bin:/bin", self.path("bin").display()),
            )
            .env("REDIS_DATA", self.path("data"))
            .env("REDIS_CONF", self.path("redis.conf"))
            .env("REDIS_PASSWORD_FILE", self.path("password"))
            .stdout(Stdio::null());
        command
    }

    /// Asks until it is answered and returns the last answer.
    fn ask(&self, words: &[&[&str]]) -> String {
        let end = Instant::now() + Duration::from_secs(20);
        loop {
            match self.try_ask(words) {
                Ok(answer) if !answer.contains("LOADING") => return answer,
                other => assert!(Instant::now() < end, "no answer: {other:?}"),
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    fn try_ask(&self, commands: &[&[&str]]) -> std::io::Result<String> {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port))?;
        stream.set_read_timeout(Some(Duration::from_secs(5)))?;
        let mut last = String::new();
        for command in commands {
            let mut text = format!("*{}\r\n", command.len());
            for word in *command {
                text += &format!("${}\r\n{word}\r\n", word.len());
            }
            stream.write_all(text.as_bytes())?;
            let mut answer = vec![0; 4096];
            let n = stream.read(&mut answer)?;
            last = String::from_utf8_lossy(&answer[..n]).into_owned();
        }
        Ok(last)
    }
}

/// The data of the chart's ConfigMap.
async fn config(helm: &Path) -> Vec<(String, String)> {
    let chart = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../charts/redis");
    let release = Release {
        name: "redis".into(),
        namespace: "redis".into(),
        chart: Chart::at(&chart).unwrap(),
        values: json!({}),
    };
    let capabilities = Capabilities {
        kube_version: "1.35".into(),
        api_versions: vec![],
    };
    let all = Helm::at(helm)
        .await
        .unwrap()
        .render(&release, &capabilities)
        .await
        .unwrap();
    let map = all
        .iter()
        .find(|one| one.kind().kind == "ConfigMap")
        .unwrap();
    let data = map.at("/data").unwrap().as_object().unwrap();
    data.iter()
        .map(|(key, text)| (key.clone(), text.as_str().unwrap().to_owned()))
        .collect()
}

#[tokio::test]
async fn the_password_works_and_is_in_no_argument_and_no_environment() {
    let Some(site) = Site::new("the_password_works").await else {
        return;
    };
    let running = Running(site.start().stderr(Stdio::null()).spawn().unwrap());
    assert!(site.ask(&[&["PING"]]).contains("NOAUTH"));
    assert_eq!(
        site.ask(&[&["AUTH", PASSWORD], &["SET", "a", "b"]]),
        "+OK\r\n"
    );
    let process = PathBuf::from(format!("/proc/{}", running.0.id()));
    for file in ["cmdline", "environ"] {
        let seen = fs::read(process.join(file)).unwrap();
        let seen = String::from_utf8_lossy(&seen);
        assert!(!seen.contains("p\"a"), "{file}: {seen}");
    }
    let answer = site.ask(&[&["AUTH", PASSWORD], &["CONFIG", "GET", "appendonly"]]);
    assert!(answer.contains("yes"), "{answer}");
    drop(running);
    // What was written is there after a kill -9.
    let again = Running(site.start().stderr(Stdio::null()).spawn().unwrap());
    assert_eq!(
        site.ask(&[&["AUTH", PASSWORD], &["GET", "a"]]),
        "$1\r\nb\r\n"
    );
    drop(again);
}

#[tokio::test]
async fn an_rdb_without_its_aof_is_not_started_over() {
    let Some(site) = Site::new("an_rdb_without_its_aof").await else {
        return;
    };
    fs::write(site.path("data/dump.rdb"), "REDIS0011").unwrap();
    let refused = site.start().output().unwrap();
    assert_eq!(refused.status.code(), Some(1));
    let words = String::from_utf8_lossy(&refused.stderr);
    assert!(words.contains("dump.rdb is there but not"), "{words}");
    assert_eq!(fs::read(site.path("data/dump.rdb")).unwrap(), b"REDIS0011");
}

#[tokio::test]
async fn an_aof_without_its_manifest_is_not_overwritten() {
    let Some(site) = Site::new("an_aof_without_its_manifest_is_not_overwritten").await else {
        return;
    };
    fs::create_dir_all(site.path("data/appendonlydir")).unwrap();
    let incr = site.path("data/appendonlydir/appendonly.aof.1.incr.aof");
    fs::write(&incr, "*1\r\n$4\r\nPING\r\n").unwrap();
    let refused = site.start().output().unwrap();
    assert_eq!(refused.status.code(), Some(1));
    let words = String::from_utf8_lossy(&refused.stderr);
    assert!(words.contains("appendonly.aof.manifest"), "{words}");
    assert!(fs::read(incr).unwrap().starts_with(b"*1"));
}

#[tokio::test]
async fn an_empty_password_is_refused() {
    let Some(site) = Site::new("an_empty_password_is_refused").await else {
        return;
    };
    fs::write(site.path("password"), "").unwrap();
    let refused = site.start().output().unwrap();
    assert_eq!(refused.status.code(), Some(1));
}
