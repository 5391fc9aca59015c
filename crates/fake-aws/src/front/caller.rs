//! Who is at the other end of a connection: found in /proc, and ended when a
//! fault asks for it.

use std::fs;
use std::net::SocketAddr;
use std::path::Path;

use rustix::process::{Pid, Signal, kill_process};

/// The process that holds the socket whose own address is `peer` and which is
/// connected to `local`.
pub(crate) fn pid(peer: SocketAddr, local: SocketAddr) -> Option<u32> {
    let table = fs::read_to_string("/proc/net/tcp").ok()?;
    let inode = inode(&table, peer, local)?;
    let wanted = format!("socket:[{inode}]");
    let processes = fs::read_dir("/proc").ok()?.flatten();
    processes
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        .find(|pid: &u32| holds(*pid, &wanted))
}

fn holds(pid: u32, wanted: &str) -> bool {
    let Ok(files) = fs::read_dir(format!("/proc/{pid}/fd")) else {
        return false;
    };
    files
        .flatten()
        .any(|file| fs::read_link(file.path()).is_ok_and(|target| target == Path::new(wanted)))
}

/// The inode column of the row with these two addresses. Addresses are the
/// bytes of the network order read as a host integer (proc(5)).
fn inode(table: &str, own: SocketAddr, other: SocketAddr) -> Option<&str> {
    let (own, other) = (column(own)?, column(other)?);
    table.lines().skip(1).find_map(|line| {
        let mut columns = line.split_whitespace().skip(1);
        let matches = columns.next()? == own && columns.next()? == other;
        matches.then(|| columns.nth(6)).flatten()
    })
}

fn column(address: SocketAddr) -> Option<String> {
    let SocketAddr::V4(address) = address else {
        return None;
    };
    let ip = u32::from_ne_bytes(address.ip().octets());
    Some(format!("{ip:08X}:{:04X}", address.port()))
}

/// Ends a process with SIGKILL. Never this process itself: a test that runs
/// the front in-process would end itself.
pub(crate) fn kill(pid: u32) -> bool {
    if pid == std::process::id() || pid <= 1 {
        tracing::warn!(
            pid,
            "a fault asked to kill the caller, which is this process: not done"
        );
        return false;
    }
    let target = i32::try_from(pid).ok().and_then(Pid::from_raw);
    target.is_some_and(|target| kill_process(target, Signal::KILL).is_ok())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::{TcpListener, TcpStream};

    #[test]
    fn the_owner_of_a_connection_is_found() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let local = listener.local_addr().unwrap();
        let client = TcpStream::connect(local).unwrap();
        assert_eq!(
            pid(client.local_addr().unwrap(), local),
            Some(std::process::id())
        );
        assert_eq!(pid("127.0.0.1:1".parse().unwrap(), local), None);
    }

    #[test]
    fn this_process_is_never_killed() {
        assert!(!kill(std::process::id()));
    }
}
