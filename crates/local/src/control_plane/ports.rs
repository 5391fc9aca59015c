//! Free ports on 127.0.0.1.

use std::net::{Ipv4Addr, TcpListener};

use anyhow::{Context, Result};

/// Ports that were free a moment ago, no two the same. The programs that get
/// them bind by number, so another process can be quicker: who starts them
/// has to try again then.
pub(super) fn free<const N: usize>() -> Result<[u16; N]> {
    let mut listeners = Vec::with_capacity(N);
    let mut ports = [0; N];
    for port in &mut ports {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
            .context("there is no free port on 127.0.0.1")?;
        *port = listener.local_addr()?.port();
        // Kept until all are taken, or one port would be given twice.
        listeners.push(listener);
    }
    Ok(ports)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_are_different_and_can_be_bound() {
        let ports = free::<6>().unwrap();
        let different: std::collections::BTreeSet<u16> = ports.into_iter().collect();
        assert_eq!(different.len(), 6);
        assert!(!different.contains(&0));
    }
}
