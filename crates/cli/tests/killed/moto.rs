//! Moto's own data, by boto3.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::{Mutex, PoisonError};

use serde::de::DeserializeOwned;
use serde_json::json;
use trunkline_tools::Tool;

use crate::support::Stack;

/// A Python that answers one question after the other.
pub(crate) struct Moto {
    child: Child,
    talk: Mutex<(ChildStdin, BufReader<ChildStdout>)>,
}

/// Something in EC2 that carries an environment's marks.
#[derive(Debug, serde::Deserialize)]
pub(crate) struct Thing {
    pub(crate) address: String,
    #[expect(dead_code, reason = "shown by Debug when it should not be there")]
    pub(crate) id: String,
    pub(crate) state: Option<String>,
}

impl Moto {
    pub(crate) fn of(stack: &Stack) -> Self {
        let moto = trunkline_tools::lookup(Tool::Moto).unwrap();
        let mut child = Command::new(moto.path.with_file_name("python"))
            .args(["-c", include_str!("moto.py")])
            .envs(stack.variables())
            .env("MOTO", stack.moto())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let stdin = child.stdin.take().unwrap();
        let stdout = BufReader::new(child.stdout.take().unwrap());
        let talk = Mutex::new((stdin, stdout));
        Self { child, talk }
    }

    /// Calls one of the functions of the script.
    #[track_caller]
    pub(crate) fn ask<T: DeserializeOwned>(&self, what: &str, with: &[&str]) -> T {
        let mut talk = self.talk.lock().unwrap_or_else(PoisonError::into_inner);
        let (to, from) = &mut *talk;
        writeln!(to, "{}", json!({"do": what, "with": with})).unwrap();
        let mut answer = String::new();
        from.read_line(&mut answer).unwrap();
        assert!(!answer.is_empty(), "{what} {with:?} failed, see above");
        serde_json::from_str(&answer).unwrap()
    }

    /// Everything in EC2 that is marked as the environment's.
    #[track_caller]
    pub(crate) fn things(&self, environment: &str) -> Vec<Thing> {
        self.ask("things", &[environment])
    }

    /// How many things there are per address. NAT gateways that failed or were
    /// deleted count, too: they were made.
    #[track_caller]
    pub(crate) fn counts(&self, environment: &str) -> BTreeMap<String, usize> {
        let mut counts = BTreeMap::new();
        for thing in self.things(environment) {
            *counts.entry(thing.address).or_default() += 1;
        }
        counts
    }
}

impl Drop for Moto {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
