//! A machine on which cargo, the tools and our programs are scripts, so that
//! what xtask does with them shows in a second.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use trunkline_tools::Tool;

/// The folder that everything is in.
pub(crate) struct Machine {
    folder: tempfile::TempDir,
}

impl Machine {
    /// A machine on which every tool is there.
    pub(crate) fn new() -> Self {
        let machine = Self {
            folder: tempfile::tempdir().unwrap(),
        };
        fs::create_dir(machine.path("bin")).unwrap();
        for tool in Tool::ALL {
            let name = if tool == Tool::Redis {
                "valkey-server"
            } else {
                tool.name()
            };
            machine.script(&format!("bin/{name}"), &format!("echo v{}", tool.version()));
        }
        // moto does not tell its version, so it is looked for in the cache only.
        let entry = format!("cache/tools/moto-{}", Tool::Moto.version());
        fs::create_dir_all(machine.path(&entry).join("bin")).unwrap();
        machine.script(&format!("{entry}/bin/moto_server"), "exit 0");
        let version = Tool::Moto.version();
        let record = format!(r#"{{"tool":"moto","version":"{version}","origin":"built"}}"#);
        fs::write(machine.path(&entry).join("trunkline-tool.json"), record).unwrap();
        machine
    }

    /// A path on the machine.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Writes a script. A child does it: a file that this process, with its
    /// threads, has open for writing cannot be executed.
    pub(crate) fn script(&self, name: &str, body: &str) {
        let mut child = Command::new("sh")
            .args(["-c", "cat > \"$0\" && chmod +x \"$0\""])
            .arg(self.path(name))
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

    /// xtask on this machine.
    pub(crate) fn xtask(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_xtask"));
        command
            .args(arguments)
            .env("CARGO", self.path("cargo"))
            .env("TRUNKLINE_CACHE", self.path("cache"))
            .env("TRUNKLINE_DOWNLOADS", "off")
            .env_remove("TRUNKLINE_HELM")
            .env(
                "PATH",
                format!("{}:/usr/bin:/bin", self.path("bin").display()),
            );
        command
    }

    /// What is in a file, once it is there.
    #[allow(
        dead_code,
        reason = "not every test program that includes this module waits"
    )]
    pub(crate) fn wait_for(&self, name: &str) -> String {
        let deadline = Instant::now() + Duration::from_secs(60);
        loop {
            match read(&self.path(name)) {
                Some(text) => return text,
                None => assert!(Instant::now() < deadline, "{name} did not appear"),
            }
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

fn read(path: &Path) -> Option<String> {
    fs::read_to_string(path)
        .ok()
        .filter(|text| text.ends_with('\n'))
}
